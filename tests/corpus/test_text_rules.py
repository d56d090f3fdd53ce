from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.corpus import text_rules
from smallvoice.corpus.text_rules import Cleaned, TextRules, load
from smallvoice.errors import RecipeError

TELEPHONE = Path(text_rules.__file__).parents[1] / "recipes" / "text-rules" / "wuw_telephone.yaml"
PLAIN = re.compile(r"(?:[A-Za-z0-9']+(?:-[A-Za-z0-9']+)*(?: |$))+")


def rules(tmp_path: Path, *rule: dict[str, object], **parts: object) -> TextRules:
    path = tmp_path / "rules.yaml"
    path.write_text(yaml.safe_dump({"rules": list(rule), **parts}, allow_unicode=True), encoding="utf-8")
    return load(path)


@pytest.mark.parametrize(
    ("rule", "before", "after"),
    [
        ({"remove": "{...}"}, "{breath} hello {lip smack}there{x}", "hello there"),
        ({"remove": "{...}"}, "Th{breath}ink", "Think"),
        ({"remove": "[[skip]]"}, "a [[skip]] b [[ skip ]]", "a b [[ skip ]]"),
        ({"remove": "(( ))"}, "a (( )) b (()) c", "a b c"),
        ({"remove": "uh"}, "uh huh uh, well uh", "huh , well"),
        ({"remove": "you know"}, "it is you   know good youknow", "it is good youknow"),
        ({"remove": "[...]", "max_words": 2}, "[car alarm] a [one two three] b []", "a [one two three] b"),
        ({"remove": "//...//"}, "a //to the dog// b // c", "a b // c"),
        # A bracket that is never closed swallows nothing.
        ({"remove": "{...}"}, "{breath hello {click} there", "{breath hello there"),
        ({"unwrap": "((...))"}, "a ((very good)) b ((c", "a very good b ((c"),
        ({"unwrap": ["(...)", "<...>"]}, "(be)cause <yes>", "because yes"),
        ({"strip": ["+", "^"]}, "+gonna ^Mars +^Joe gonna+ 2+2 + '+'cause'", "gonna Mars Joe gonna 2+2 + ''cause'"),
        ({"strip": "%", "side": "before"}, "%uh 50%", "uh 50%"),
        ({"strip": "_", "side": "after"}, "_Name_ a_b", "_Name a_b"),
        ({"fragment": "-"}, "ph- call -me stand-by wait-- no On-", "ph call me stand-by wait-- no On"),
        ({"fragment": ["-", "(-)"], "keep": "true"}, "ju(-) Wh-, don'- -'cause", "ju Wh, don' 'cause"),
        ({"fragment": "-", "keep": "false"}, "the ph- call -me, stand-by O-at- end", "the call , stand-by end"),
        ({"replace": {"ok": "okay", "_": " "}}, "ok a_b book ok.", "okay a b book okay."),
        ({"replace": {"a": "\\1"}}, "a b", "\\1 b"),
        ({"regex": r"(\w+)=\w+", "with": r"\1"}, "tree=twee is", "tree is"),
        ({"find": "xxx", "flag": "unintelligible"}, "he xxx so", "he xxx so"),
        # A word may end in a combining mark, and hold a joiner.
        ({"remove": "की"}, "कीमत की बात", "कीमत बात"),
        ({"remove": "की बात"}, "की   बात कीबात", "कीबात"),
        ({"replace": {"می": "x"}}, "می‌روم می", "می‌روم x"),
    ],
)
def test_kinds(tmp_path: Path, rule: dict[str, object], before: str, after: str) -> None:
    assert rules(tmp_path, rule).apply(before).text == after


def test_rules_are_applied_in_their_order(tmp_path: Path) -> None:
    first, second = {"replace": {"a": "b"}}, {"replace": {"b": "c"}}
    assert rules(tmp_path, first, second).apply("a b").text == "c c"
    assert rules(tmp_path, second, first).apply("a b").text == "b c"


def test_flags(tmp_path: Path) -> None:
    cleaner = rules(
        tmp_path,
        {"remove": "(( ))", "flag": "unintelligible"},
        {"find": ["xxx", "<...>"], "flag": "unintelligible"},
        {"regex": r"\d{3,}", "flag": "a long number"},
    )
    assert cleaner.apply("hello") == Cleaned("hello", ())
    assert cleaner.apply("a (( )) b xxx") == Cleaned("a b xxx", ("unintelligible",))
    assert cleaner.apply("in 1999") == Cleaned("in 1999", ("a long number",))
    assert cleaner.apply("<oui> & ]") == Cleaned("<oui> & ]", ("unintelligible", "unexpected characters: & < > ]"))
    assert cleaner.apply("(( ))").flags == ("unintelligible", "no words")
    assert cleaner.apply("  ") == Cleaned("", ("no words",))


@pytest.mark.parametrize(
    ("before", "after", "unexpected"),
    [
        ("Hi, John. How? Ah-ha!", "Hi John How Ah-ha", ""),
        ("well -- no - yes — so…", "well no yes so", ""),
        ("at 5:00 for 1,000.", "at 5:00 for 1,000", ", :"),
        ("comin' 'em ' I'm", "comin' 'em I'm", ""),
        ("-me ph- a-b", "-me ph- a-b", "-"),
        ("naïve 你好 a\u0301 ٣", "naïve 你好 a\u0301 ٣", ""),
        ("你好，世界。真的？「是」、好！", "你好 世界 真的 是 好", ""),
        ("نعم، لماذا؟ لا؛ هذا۔", "نعم لماذا لا هذا", ""),
        ("मैं गया। अब॥", "मैं गया अब", ""),
        ("‘hello’ he said, ‘don’t go’ ‹oui›", "hello he said don’t go oui", ""),
        ("‚hallo‘ sagte er", "hallo sagte er", ""),
        ("goin’ ’cause ‘cause", "goin’ ’cause ‘cause", "‘ ’"),
        ("می‌روم", "می‌روم", ""),
        ("a \u200c b\u200d", "a \u200c b\u200d", "\u200c"),
    ],
)
def test_punctuation_removed(tmp_path: Path, before: str, after: str, unexpected: str) -> None:
    cleaned = rules(tmp_path, punctuation="remove").apply(before)
    assert cleaned.text == after
    assert cleaned.flags == ((f"unexpected characters: {unexpected}",) if unexpected else ())


def test_punctuation_is_kept_unless_one_says_so(tmp_path: Path) -> None:
    for text in ("Hi, John. “Yes”; at 5:00!", "‘你好，世界。’", "لماذا؟"):
        assert rules(tmp_path).apply(text) == Cleaned(text, ())


def test_what_may_be_left(tmp_path: Path) -> None:
    assert rules(tmp_path, allowed=["letters", "&"]).apply("a & b 3 it's").flags == ("unexpected characters: ' 3",)
    assert rules(tmp_path, allowed=["a", "b", "-"]).apply("a-b c").flags == ("unexpected characters: c",)
    plain = rules(tmp_path, punctuation="remove", allowed=["letters"])
    assert plain.apply("don’t می‌روم").flags == ("unexpected characters: ’",)


@pytest.mark.parametrize(
    ("content", "line", "message"),
    [
        ("- a\n", 1, "a rule file has `rules:`"),
        ("rules: yes\n", 1, "is a list"),
        ("rule: []\n", 1, "unknown key 'rule'"),
        ("rules:\n- remov: x\n", 2, "one of remove, unwrap"),
        ("rules:\n- remove: x\n  unwrap: y\n", 2, "found remove, unwrap"),
        ("rules:\n- remove: {...}\n", 2, "in quotes"),
        ("rules:\n- remove: [[skip]]\n", 2, "in quotes"),
        ("rules:\n- remove: #\n", 2, "comment"),
        ("rules:\n- remove: []\n", 2, "empty list"),
        ("rules:\n- strip: *\n", 2, "not valid YAML"),
        ("rules:\n- unwrap: x\n", 2, "no inside"),
        ("rules:\n- unwrap: '...x'\n", 2, "three dots once"),
        ("rules:\n- remove: x\n  max_words: 3\n", 2, "no inside"),
        ("rules:\n- remove: '{...}'\n  max_words: -1\n", 3, "not a number of words"),
        ("rules:\n- strip: x\n  side: left\n", 3, "not one of before, after, both"),
        ("rules:\n- strip: x\n  keep: true\n", 3, "does not take 'keep'"),
        ("rules:\n- find: x\n", 2, "say with `flag:`"),
        ("rules:\n- regex: x\n", 2, "needs `with:`"),
        ("rules:\n- regex: '('\n  with: x\n", 2, "not a regular expression"),
        ("rules:\n- regex: x\n  with: '\\1'\n", 2, "not a regular expression"),
        ("rules:\n- regex: '((a{1000}){1000}){1000}'\n  with: x\n", 2, "repeats over"),
        ("rules:\n- regex: 'a(?R)'\n  with: x\n", 2, "contains itself"),
        (f"rules:\n- regex: {'x' * 501}\n  with: x\n", 2, "500 at most"),
        ("rules: []\npunctuation: none\n", 2, "not one of keep, remove"),
        ("rules: []\nallowed: [leters]\n", 2, "neither one character"),
        ("rules:\n- replace: {a: b, a: c}\n", 2, "given twice"),
        ("rules: []\nrules: []\n", 2, "given twice"),
        ("rules: &a\n- *a\n", 1, "expected `name: value`"),
    ],
)
def test_mistakes(tmp_path: Path, content: str, line: int, message: str) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(content, encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)


def test_every_mistake_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text("rules:\n- remove: ''\n- remove: x\n- regex: '['\n  with: ''\n", encoding="utf-8")
    with pytest.raises(RecipeError) as error:
        load(path)
    assert [problem.split(":")[1] for problem in error.value.problems] == ["2", "4"]


def test_an_expression_without_end_is_stopped(tmp_path: Path) -> None:
    cleaner = rules(tmp_path, {"replace": {"x": "y"}}, {"regex": r"(a+)+$", "with": ""})
    assert cleaner.apply("aa").text == ""
    begun = time.perf_counter()
    with pytest.raises(RecipeError, match=r"rules\.yaml:\d+: this rule takes over 0.5 s"):
        cleaner.apply("a" * 5000 + "b")
    assert time.perf_counter() - begun < 2


def test_a_text_does_not_grow_without_end(tmp_path: Path) -> None:
    cleaner = rules(tmp_path, *[{"regex": "(.+)", "with": r"\1" * 9}] * 30)
    with pytest.raises(RecipeError, match="this rule makes"):
        cleaner.apply("a" * 5000)


@pytest.mark.parametrize("unit", ["{", "((", "[a ", "- ", "a-", "'", "+", "((a ", "a ", "-'", "a_", "(( ", "‘", "‘a’b"])
def test_time_is_linear(unit: str) -> None:
    """Every kind of rule on text that is made to make searches slow."""
    cleaner = load(TELEPHONE)
    begun = time.perf_counter()
    cleaner.apply(unit * (100_000 // len(unit)))
    assert time.perf_counter() - begun < 1


def test_a_text_may_be_too_long(tmp_path: Path) -> None:
    text = "a  " * 100_000
    assert rules(tmp_path).apply(text) == Cleaned(text, ("too long for text rules",))


def test_fingerprint(tmp_path: Path) -> None:
    def fingerprint(content: str) -> str:
        path = tmp_path / "rules.yaml"
        path.write_text(content, encoding="utf-8")
        return load(path).fingerprint

    first = fingerprint("rules:\n- remove: '{...}'\n- strip: [a, b]\n")
    assert fingerprint("# Ours\nrules:\n  - remove: \"{...}\"\n\n  - strip: ['a', 'b']\npunctuation: keep\n") == first
    others = {
        fingerprint("rules:\n- strip: [a, b]\n- remove: '{...}'\n"),
        fingerprint("rules:\n- remove: '{...}'\n- strip: [b, a]\n"),
        fingerprint("rules:\n- remove: '{...}'\n  flag: x\n- strip: [a, b]\n"),
        fingerprint("rules:\n- remove: '{...}'\n- strip: [a, b]\npunctuation: remove\n"),
        fingerprint("rules:\n- remove: '{...}'\n- strip: [a, b]\nallowed: [letters]\n"),
    }
    assert len(others | {first}) == 6


@pytest.mark.parametrize(
    ("before", "after", "flags"),
    [
        ("{smack}^Joe I'm +gonna go [click][click]", "Joe I'm gonna go", ()),
        ("[noise/] (( )) hello [/noise]", "hello", ("unintelligible",)),
        ("so ((?)) and ((...))", "so and", ("unintelligible",)),
        ("[[skip]] work [[clicks]]", "work", ("skip in the recording",)),
        ("((the, uh,))thing ((is", "the uh thing ((is", ("unexpected characters: (",)),
        ("_Onword_'s a _Voyager_ship ^_Name_ _+Name", "Onword's a Voyager ship Name Name", ()),
        ("~T~V ~d ~s and ~CPX %um 50%", "TV d s and CPX um 50%", ("unexpected characters: %",)),
        ("-st ju(-) a- kee-[click] O-ator", "st ju a kee O-ator", ()),
        ("Th{breath}[click]ink", "Think", ("sound inside a word",)),
        ("I don\ufffdt, “they’ve”", "I don't they've", ()),
        ("a \ufffd b", "a \ufffd b", ("unexpected characters: \ufffd",)),
        ("[noise hello {breath}", "[noise hello", ("unexpected characters: [",)),
        ("{breath hi there and so on and on}", "{breath hi there and so on and on}", ("unexpected characters: { }",)),
        ("{breath} [beep]", "", ("no words",)),
    ],
)
def test_the_telephone_corpus(before: str, after: str, flags: tuple[str, ...]) -> None:
    assert load(TELEPHONE).apply(before) == Cleaned(after, flags)


def test_real_rows_of_the_telephone_corpus(shared_data: Path) -> None:
    manifest = shared_data / "adult_telephone" / "manifest.jsonl"
    if not manifest.is_file():
        pytest.skip(f"no {manifest.parent.name} here")
    texts = [json.loads(line)["transcription"] for line in manifest.read_text(encoding="utf-8").splitlines()]
    cleaned = [load(TELEPHONE).apply(text) for text in texts]
    assert all(PLAIN.fullmatch(row.text) for row in cleaned if not row.flags)
    assert sum(not row.flags for row in cleaned) / len(cleaned) > 0.94


_MARKUP = st.sampled_from([*"{}[]()+^*~_%-'’/ .,:?&<>", "((", "))", "[[", "]]", "(-)", "\ufffd", "a", "Bc", "9", " "])


@given(st.lists(_MARKUP, max_size=40).map("".join))
@settings(max_examples=300, deadline=None, derandomize=True)
def test_every_row_is_plain_or_flagged(text: str) -> None:
    cleaned = _TELEPHONE_RULES.apply(text)
    assert cleaned.flags or PLAIN.fullmatch(cleaned.text)


_TELEPHONE_RULES = load(TELEPHONE)


_YAML = st.lists(st.sampled_from("rules: - remove {...} \"'\n#&*[]|>!%@ \ufffd\t\0")).map("".join)


@given(st.text(max_size=200) | _YAML)
@settings(max_examples=150, deadline=None, derandomize=True)
def test_any_file_is_rules_or_a_list_of_mistakes(tmp_path_factory: pytest.TempPathFactory, content: str) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(content, encoding="utf-8")
    try:
        load(path).apply("a {breath} b")
    except RecipeError as error:
        assert str(error).startswith(str(path))
