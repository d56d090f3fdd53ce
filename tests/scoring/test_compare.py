from __future__ import annotations

import json
import math
import random
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rich.console import Console

from smallvoice import cli, judging, terminal
from smallvoice.errors import Finding, InputError
from smallvoice.recipe import EvaluateRecipe
from smallvoice.scoring import compare, hypotheses, significance, systems, verdict
from smallvoice.scoring.scores import score
from smallvoice.scoring.table import comparison_table
from smallvoice.storage import write_json, write_jsonl

QUICK = EvaluateRecipe(resamples=500)
HOSTILE = [
    "<b>bold</b> & co",
    "مرحبا \u202e abc",
    "",
    "?!...",
    "👩‍👧 hi",
    "a\u2028b",
    "[red]x[/red]",
    "1" * 5000,
]


def row(number: int, hypothesis: str, reference: str = "THE SMALL VOICE", **more: Any) -> dict[str, Any]:
    return {
        "id": f"u{number}",
        "system": "base",
        "split": "test",
        "reference": reference,
        "hypothesis": hypothesis,
        "decoded": hypothesis,
        "language": "en",
        "speaker": f"S{number % 4:04d}",
        "recording": f"R{number}",
        "age_years": 6.0 + number % 3,
        "gender": "f",
        "role": "child",
        "duration_s": 2.0,
        "num_tokens": 5,
        "capped": False,
        "flags": [],
        "error": None,
        **more,
    }


def system(name: str, texts: list[str], **more: Any) -> list[dict[str, Any]]:
    return [row(number, text, system=name, **more) for number, text in enumerate(texts)]


BASE = system("base", ["The small boys.", "A small voice!", "the tall", "The small voice."] * 3)
TUNED = system("tuned", ["THE SMALL VOICE", "THE SMALL VOICE", "THE TALL VOICE", "THE SMALL VOICE"] * 3)


def assert_strict_json(content: object) -> None:
    """Like a strict reader: NaN and Infinity are refused."""
    json.dumps(content, allow_nan=False)


def test_score_counts_every_form() -> None:
    scores = score(BASE)
    wer = scores["wer"]
    assert list(wer) == ["raw", "lower_cased", "caseless", "child", "normalised"]
    counted = {"words": 36, "insertions": 0, "deletions": 3, "substitutions": 33}
    assert wer["raw"] == {**counted, "errors": 36, "wer": 1.0, "interval": None}, "all are alike"
    low, high = wer["normalised"]["interval"]
    assert low <= wer["normalised"]["wer"] <= high
    assert wer["lower_cased"]["errors"] == 3 * (1 + 2 + 2 + 1)
    assert wer["caseless"]["errors"] == wer["normalised"]["errors"] == 3 * (1 + 1 + 2 + 0)
    assert scores["speakers"] == 4 and scores["utterances"] == 12 and scores["system"] == "base"
    assert sum(group["wer"]["raw"]["errors"] for group in scores["by_age"]) == 36
    assert [group["group"] for group in scores["by_age"]] == ["5–7", "8–10"]
    assert scores["without_flagged"] is None
    assert_strict_json(scores)


def test_an_utterance_that_was_not_decoded_is_deleted_words() -> None:
    scores = score([row(0, "THE SMALL VOICE", error="the audio is truncated"), row(1, "THE SMALL VOICE")])
    assert scores["wer"]["raw"]["deletions"] == 3
    assert scores["not_decoded"] == [{"id": "u0", "error": "the audio is truncated"}]


def test_flagged_rows_count_and_are_also_left_out() -> None:
    rows = [row(0, "", flags=["too_fast"]), row(1, "THE SMALL VOICE")]
    scores = score(rows)
    assert scores["wer"]["raw"]["errors"] == 3 and scores["flagged"] == 1
    assert scores["without_flagged"]["raw"]["errors"] == 0
    both = compare.compare(rows, rows, QUICK)
    assert both["without_flagged"]["raw"]["a"]["words"] == 3


def test_compare_shows_both_and_the_change() -> None:
    both = compare.compare(BASE, TUNED, QUICK)
    normalised = both["overall"]["normalised"]
    assert both["systems"] == {"a": "base", "b": "tuned"}
    assert normalised["a"]["errors"] == 12 and normalised["b"]["errors"] == 3
    assert normalised["absolute"]["change"] == pytest.approx(-9 / 36)
    assert normalised["relative"]["change"] == pytest.approx(-0.75)
    low, high = normalised["relative"]["interval"]
    assert low <= -0.75 <= high
    assert both["bootstrap"]["unit"] == "speaker" and both["bootstrap"]["units"] == 4
    assert_strict_json(both)
    assert compare.compare(BASE, list(reversed(TUNED)), QUICK) == both


def test_the_verdict_names_the_numbers_and_the_rule() -> None:
    texts = [*["the small boy", "a small voice", "a tall choice"] * 3, "the small boy", "a small voice", "a tall voice"]
    found = compare.compare(system("base", texts), system("tuned", ["THE SMALL VOICE"] * 12), QUICK)["verdict"]
    assert found["outcome"] == "no evidence", "four speakers are none"
    assert found["sentence"] == (
        "normalised WER 52.8 % → 0.0 %, −100 % relative, −52.8 points, 95 % interval "
        "[−61.6, −43.9]: better on these, which with 4 known speakers is no evidence for others"
    ), "of no errors at all no ratio has an interval"
    assert found["caution"] is None


def test_a_regression_is_called_higher_and_has_no_gain_to_divide() -> None:
    good, bad = ["THE SMALL VOICE"] * 7 + ["THE SMALL BOYS"], ["a tall choice"] * 8
    both = compare.compare(system("base", good), system("tuned", bad), QUICK)
    assert both["verdict"]["outcome"] == "no evidence" and "worse on these" in both["verdict"]["sentence"]
    assert both["formatting"]["share"] is None and both["formatting"]["raw_gain"] < 0
    assert "no gain to divide" in both["formatting"]["sentence"]


def test_the_same_file_twice_shows_no_difference() -> None:
    both = compare.compare(BASE, BASE, QUICK)
    assert both["verdict"]["outcome"] == "no evidence"
    assert both["overall"]["normalised"]["probability_of_improvement"] == 0


def test_formatting_is_the_share_that_needs_no_training() -> None:
    formatting = compare.compare(BASE, TUNED, QUICK)["formatting"]
    raw_gain, alone = (36 - 3) / 36, (36 - 12) / 36
    assert formatting["raw_gain"] == pytest.approx(raw_gain)
    assert formatting["formatting_gain"] == pytest.approx(alone)
    assert formatting["share"] == pytest.approx(alone / raw_gain)
    assert "73 % of that gain is case and punctuation alone" in formatting["sentence"]


def test_a_model_that_only_learnt_to_shout_owes_it_all_to_formatting() -> None:
    spoken = ["The small voice.", "The tall voice."] * 4
    shouted = [text.upper().rstrip(".") for text in spoken]
    formatting = compare.compare(system("base", spoken), system("tuned", shouted), QUICK)["formatting"]
    assert formatting["share"] == pytest.approx(1.0)


def test_one_speaker_has_no_interval_and_the_reason_is_given() -> None:
    one = [{**each, "speaker": "S0001"} for each in BASE]
    both = compare.compare(one, [{**each, "system": "tuned", "hypothesis": ""} for each in one], QUICK)
    assert both["overall"]["raw"]["absolute"]["interval"] is None
    assert both["overall"]["raw"]["probability_of_improvement"] is None
    assert both["verdict"]["outcome"] == "no evidence" and "nothing is claimed" in both["verdict"]["sentence"]
    assert "at least 2 speakers" in both["bootstrap"]["why_no_interval"]
    assert "at least 2 speakers" in both["verdict"]["sentence"]


def test_recordings_stand_in_for_unknown_speakers_and_ages_stay_unknown() -> None:
    anonymous = [{**each, "speaker": None, "age_years": None, "role": "unknown"} for each in BASE]
    both = compare.compare(anonymous, anonymous, QUICK)
    assert both["bootstrap"]["unit"] == "recording" and both["bootstrap"]["units"] == 12
    assert [group["group"] for group in both["by_age"]] == ["unknown"]
    assert both["speakers"] == 0


def test_zero_words_is_null_everywhere() -> None:
    silent = system("base", ["invented"] * 4, reference="")
    both = compare.compare(silent, silent, QUICK)
    assert both["overall"]["raw"]["a"]["wer"] is None and both["overall"]["raw"]["a"]["insertions"] == 4
    assert both["verdict"]["outcome"] == "no evidence" and both["formatting"]["share"] is None
    assert_strict_json(both)


def test_only_punctuation_is_no_word_once_normalised() -> None:
    scores = score([row(0, "!", reference="?! —"), row(1, "", reference="¿")])
    assert scores["wer"]["raw"]["words"] == 3
    assert scores["wer"]["caseless"]["words"] == scores["wer"]["normalised"]["words"] == 0
    assert scores["wer"]["normalised"]["wer"] is None


@settings(max_examples=30, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(HOSTILE), st.sampled_from(HOSTILE)), min_size=1, max_size=6))
def test_hostile_text_gives_numbers(pairs: list[tuple[str, str]]) -> None:
    rows = [row(number, hypothesis, reference) for number, (reference, hypothesis) in enumerate(pairs)]
    both = compare.compare(rows, rows, EvaluateRecipe(resamples=20))
    assert_strict_json(both)
    for block in both["overall"].values():
        assert block["absolute"]["change"] in (0, None) and not math.isnan(block["a"]["errors"])


@pytest.mark.parametrize("language", ["fr", "hi", None])
def test_the_language_of_the_reference_decides_for_both(language: str | None) -> None:
    a = system("base", ["Ça va"] * 4, reference="ca va", language=language)
    b = system("tuned", ["Ça va"] * 4, reference="ca va", language="en")
    both = compare.compare(a, b, QUICK)
    assert both["overall"]["normalised"]["absolute"]["change"] == 0
    expected = "whisper-english/3" if language is None else "whisper-basic/2"
    assert list(both["normalisers"]["normalised"]) == [expected]


def refusal(a: list[dict[str, Any]], b: list[dict[str, Any]]) -> str:
    with pytest.raises(InputError) as caught:
        compare.compare(a, b, QUICK, names=("base.jsonl", "tuned.jsonl"))
    return str(caught.value)


def test_ids_on_one_side_only_are_refused_by_name() -> None:
    message = refusal(BASE, TUNED[:4])
    assert "8 ids are in base.jsonl but not in tuned.jsonl: u4, u5, u6, u7, u8 and 3 more" in message
    assert "1 ids are in tuned.jsonl but not in base.jsonl: u11" in refusal(BASE[:11], TUNED)


def test_other_references_are_refused_by_name() -> None:
    message = refusal(BASE, [{**each, "reference": "ELSE"} if each["id"] == "u3" else each for each in TUNED])
    assert "another reference" in message and "u3" in message


def test_unusable_files_are_refused() -> None:
    assert "base.jsonl: no hypotheses" in refusal([], TUNED)
    assert "tuned.jsonl: no hypotheses" in refusal(BASE, [])
    assert "tuned.jsonl: 1 ids are given more than once: u0" in refusal(BASE, [*TUNED, TUNED[0]])
    assert "'hypothesis' is missing or not text in row 1" in refusal([{**BASE[0], "hypothesis": None}], TUNED)
    assert "2 systems" in refusal([BASE[0], {**BASE[1], "system": "other"}], TUNED)


def test_reading_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "base.test.jsonl"
    write_jsonl(path, BASE)
    assert hypotheses.read(path) == BASE
    write_jsonl(path, [])
    with pytest.raises(InputError, match=r"base\.test\.jsonl: no hypotheses"):
        hypotheses.read(path)


def test_the_table_holds_the_numbers_and_takes_names_as_text(monkeypatch: pytest.MonkeyPatch) -> None:
    tuned = [{**each, "system": "[red]x[/red]"} for each in TUNED]
    monkeypatch.setattr(terminal.console, "width", 150)
    with terminal.console.capture() as captured:
        terminal.console.print(comparison_table(compare.compare(BASE, tuned, QUICK)))
    shown = captured.get()
    assert "[red]x[/red]" in shown and "−75 %" in shown and "age 5–7" in shown and "normalised WER" in shown


def many(name: str, wrong: dict[int, str], **facts: object) -> list[dict[str, object]]:
    """Eight speakers of four utterances each; `wrong`: what is heard in each utterance of a speaker, by number."""
    texts = [wrong.get(speaker, "THE SMALL VOICE") for speaker in range(8) for _ in range(4)]
    rows = system(name, texts, **facts)
    return [
        {**each, "speaker": f"S{number // 4:04d}", "gender": "f" if number < 20 else "m"}
        for number, each in enumerate(rows)
    ]


def test_the_table_compares_no_group_of_few_speakers() -> None:
    base, tuned = (
        [{**each, "age_years": 6.0 if each["speaker"] < "S0003" else 9.0} for each in many(name, wrong)]
        for name, wrong in (("base", BAD), ("tuned", {}))
    )
    console = Console(width=150, quiet=False, stderr=True)
    with console.capture() as captured:
        console.print(comparison_table(compare.compare(base, tuned, QUICK)))
    few, enough = (
        next(line for line in captured.get().splitlines() if f"age {band}" in line) for band in ("5–7", "8–10")
    )
    assert few.split()[-2:] == ["–", "–"] and few.count("%") == 2
    assert "−100 %" in enough


BAD = {speaker: "THE TALL CHOICE" if speaker % 2 else "THE SMALL CHOICE" for speaker in range(8)}


def test_better_is_better_for_more_than_five_speakers() -> None:
    both = compare.compare(many("base", BAD), many("tuned", {0: "THE SMALL CHOICE"}), QUICK)
    assert both["verdict"]["outcome"] == "better" and both["verdict"]["but"] == []
    assert both["matched_pairs"]["segments"] == 32 and both["matched_pairs"]["p"] < 1e-6
    assert compare.compare(many("base", {}), many("tuned", BAD), QUICK)["verdict"]["outcome"] == "worse"


def test_both_intervals_decide() -> None:
    """Of few speakers that of points may exclude zero where that of the ratio holds it."""
    counts = [(11, 49, 10), (54, 133, 38), (33, 99, 21), (30, 59, 25), (18, 52, 21), (14, 51, 9)]
    table = np.array([[a, words, b, words] for a, words, b in counts])
    change = significance.change(table, 500, 0, 0.95)
    bounds = change.absolute_interval, change.relative_interval
    assert bounds[0] is not None and bounds[0][1] < 0 and bounds[1] is not None and bounds[1][1] > 0
    sides = [{"wer": table[:, place].sum() / table[:, 1].sum()} for place in (0, 2)]
    block = {
        **dict(zip("ab", sides, strict=True)),
        "absolute": {"change": change.absolute, "interval": list(bounds[0])},
        "relative": {"change": change.relative, "interval": list(bounds[1])},
    }
    found = verdict.verdict(block, {"units": 6, "speakers": 6, "confidence": 0.95, "why_no_interval": None})
    assert found["outcome"] == "no evidence" and "the interval of the relative change holds zero" in found["sentence"]
    assert verdict.group_buts("gender", [{"group": "f", "speakers": 6, "normalised": block}], 5) == []


def test_better_but_says_for_whom_it_is_worse() -> None:
    """Six girls and twelve boys; the boys gain much, the girls lose a little each."""
    before, after = [], []
    for speaker in range(18):
        girl = speaker < 6
        bad = "A TALL CHOICE" if speaker % 3 else "THE TALL CHOICE"
        worse = ["A TALL VOICE", "THE SMALL CHOICE", "THE TALL VOICE"][min(speaker, speaker % 2 + 1)]
        who = {"speaker": f"S{speaker:04d}", "gender": "f" if girl else "m"}
        before.append({**row(speaker, "THE SMALL VOICE" if girl else bad), **who, "system": "base"})
        after.append({**row(speaker, worse if girl else "THE SMALL VOICE"), **who, "system": "tuned"})
    both = compare.compare(before, after, QUICK)
    assert both["verdict"]["outcome"] == "better but"
    assert both["verdict"]["but"] == ["gender f is worse (0.0 % → 38.9 %)"]
    genders = {group["group"]: group for group in both["groups"]["gender"]}
    assert genders["m"]["normalised"]["b"]["errors"] == 0 and genders["f"]["speakers"] == 6
    assert both["gaps"]["gender"]["best"] == "m" and both["gaps"]["gender"]["b"]["points"] == pytest.approx(7 / 18)
    assert [speaker["unit"] for speaker in both["by_speaker"]] == [f"S{number:04d}" for number in range(18)]
    assert_strict_json(both)


def test_loops_are_held_against_a_better_model() -> None:
    looped = {0: "THE SMALL VOICE " * 6}
    both = compare.compare(many("base", BAD), many("tuned", looped), QUICK)
    assert both["hallucination"]["b"]["loop"]["utterances"] == 4
    if both["verdict"]["outcome"] != "no evidence":  # four loops weigh as many errors as all the rest
        assert "loop" in both["verdict"]["sentence"]
    assert verdict.loop_buts(both["hallucination"]["a"], both["hallucination"]["b"]) == [
        "more utterances loop (0.0 % → 12.5 %)"
    ]


def test_fail_unless_better_is_for_ci(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, rows in (("base", many("base", BAD)), ("tuned", many("tuned", {}))):
        write_jsonl(tmp_path / f"{name}.jsonl", rows)
    files = tmp_path / "base.jsonl", tmp_path / "tuned.jsonl"
    judging.require_outcome(judging.compare(*files, recipe=QUICK), "better")
    with pytest.raises(Finding, match="Not better"):
        judging.require_outcome(judging.compare(*reversed(files), recipe=QUICK), "better")
    with pytest.raises(SystemExit) as ended:
        cli.main(
            ["compare", str(files[1]), str(files[0]), "--fail-unless", "better", "--json", "--set", "resamples=10"]
        )
    assert ended.value.code == 3
    assert json.loads(capsys.readouterr().out)["verdict"]["outcome"] == "worse", "what was found is shown before"


def test_columns_of_the_users_own_are_groups() -> None:
    rows = [{**each, "task": "words" if number % 2 else "sentences"} for number, each in enumerate(many("base", BAD))]
    both = compare.compare(rows, [{**each, "system": "tuned"} for each in rows], QUICK)
    assert [group["group"] for group in both["groups"]["task"]] == ["sentences", "words"]
    assert set(both["groups"]) == {"gender", "task"}
    native = [{**each, "native": number % 2 == 0, "level": number % 3} for number, each in enumerate(rows)]
    found = compare.compare(native, [{**each, "system": "tuned"} for each in native], QUICK)["groups"]
    assert [group["group"] for group in found["native"]] == ["no", "yes"]
    assert [group["group"] for group in found["level"]] == ["0", "1", "2"]


def test_speech_of_nobody_who_is_known_is_no_evidence() -> None:
    """It may all be one voice, however many recordings there are."""
    both = [
        [{**each, "speaker": None, "recording": f"R{number}"} for number, each in enumerate(rows)]
        for rows in (many("base", BAD), many("tuned", {}))
    ]
    found = compare.compare(both[0], both[1], QUICK)
    assert found["verdict"]["outcome"] == "no evidence" and "no known speaker" in found["verdict"]["sentence"]
    assert compare.compare(many("base", BAD), many("tuned", {}), QUICK)["verdict"]["outcome"] == "better"


def test_rows_of_nobody_beside_a_few_speakers_do_not_make_them_many() -> None:
    """Six who did not change, and 200 rows of nobody knows whom that did."""
    base, tuned = many("base", BAD)[:60], many("tuned", BAD)[:60]
    gain = [
        [
            {**each, "id": f"n{number}", "speaker": None, "recording": f"R{number}", "hypothesis": text}
            for number, each in enumerate(200 * rows[:1])
        ]
        for rows, text in ((base, ""), (tuned, base[0]["reference"]))
    ]
    found = compare.compare([*base, *gain[0]], [*tuned, *gain[1]], QUICK)
    assert found["verdict"]["outcome"] == "no evidence"
    assert "all rows without one as one more" in found["bootstrap"]["unit"]


def test_a_column_called_age_hides_nobody() -> None:
    rows = [{**each, "age": "yn"[number % 2]} for number, each in enumerate(many("base", {}))]
    worse = [{**each, "system": "tuned"} for each in rows]
    found = compare.compare(rows, worse, QUICK)
    assert "age (column)" in found["groups"] and "age" not in found["groups"]
    assert [group["group"] for group in found["by_age"]] == ["5–7", "8–10"]


def test_columns_of_the_users_own_called_seed_or_utterance_are_columns() -> None:
    rows = [{**each, "seed": number % 2, "utterance": "q"} for number, each in enumerate(many("base", BAD))]
    both = compare.compare(rows, [{**each, "system": "tuned"} for each in rows], QUICK)
    assert both["seeds"] == 1 and both["utterances"] == len(rows)
    assert [group["group"] for group in both["groups"]["seed"]] == ["0", "1"]
    odd = [{**each, "seed": [1], "utterance": {}} for each in rows]
    assert score(odd)["utterances"] == len(rows)


def test_an_interval_beyond_every_number_is_no_error() -> None:
    errors = [(1, 80), (60, 1), (2, 90)]
    rows = [[], []]
    for speaker, pair in enumerate(errors):
        for side, wrong in enumerate(pair):
            said = " ".join(["cat"] * 90)
            heard = " ".join(["dog"] * wrong + ["cat"] * (90 - wrong))
            facts = {"id": str(speaker), "speaker": f"S{speaker}", "system": "ab"[side], "language": "en"}
            rows[side].append({**facts, "reference": said, "hypothesis": heard})
    both = compare.compare(*rows, EvaluateRecipe(resamples=10, confidence=0.9999))
    assert_strict_json(both)


def test_other_speech_on_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_jsonl(tmp_path / "a.jsonl", many("base", BAD))
    write_jsonl(tmp_path / "b.jsonl", many("tuned", {}))
    files = [str(tmp_path / name) for name in ("a.jsonl", "b.jsonl")]
    kept = []
    for name, lost in (("kids", {0: "THE SMALL CHOICE"}), ("adults", {})):
        (tmp_path / name).mkdir()
        kept.append(str(tmp_path / name / "comparative_analysis.json"))
        write_json(Path(kept[-1]), compare.compare(many("base", {}), many("tuned", lost), QUICK))

    def ends(*arguments: str, code: int) -> str:
        with pytest.raises(SystemExit) as ended:
            cli.main(["compare", *files, *arguments])
        assert ended.value.code == code
        return " ".join(capsys.readouterr().err.split())

    assert "kids loses more than 1 point" in ends("--retention", *kept, "--fail-unless", "better", code=3)
    assert "kids loses more" in ends("--retention", *kept[::-1], "--fail-unless", "better", code=3), "in any order"
    ends("--retention", kept[1], "--fail-unless", "better", code=0)
    assert "two sets of other speech are called kids" in ends("--retention", kept[0], kept[0], code=1)
    write_json(tmp_path / "other.json", compare.compare(many("foo", {}), many("bar", {}), QUICK))
    assert "compared for ['foo', 'bar']" in ends("--retention", str(tmp_path / "other.json"), code=1)
    write_json(tmp_path / "odd.json", {"systems": {"a": "base", "b": "tuned"}})
    assert "no comparative_analysis.json" in ends("--retention", str(tmp_path / "odd.json"), code=1)
    assert "compare does not look at it" in ends("--set", "split=dev", code=1)


def test_the_fewest_speakers_of_a_group_can_be_set() -> None:
    both = compare.compare(many("base", BAD), many("tuned", {}), EvaluateRecipe(resamples=100, min_speakers=1000))
    assert both["gaps"] == {} and both["min_speakers"] == 1000


def test_every_two_of_three_systems() -> None:
    files = [many("base", BAD), many("tuned", {}), many("other", BAD)]
    found = {(each["a"], each["b"]): each for each in systems.between(files, ["1", "2", "3"], QUICK)}
    assert list(found) == [("A", "B"), ("A", "C"), ("B", "C")]
    assert found["A", "B"]["absolute"]["change"] == -found["B", "C"]["absolute"]["change"] < 0
    same = found["A", "C"]
    assert same["absolute"]["change"] == 0 and same["p_holm"] == same["p"] == 1.0
    assert found["A", "B"]["p_holm"] == pytest.approx(3 * found["A", "B"]["p"])
    two = systems.between(files[:2], ["1", "2"], QUICK)[0]
    alone = compare.compare(files[0], files[1], QUICK)
    assert two["absolute"] == alone["overall"]["normalised"]["absolute"] and two["p"] == alone["matched_pairs"]["p"]


def test_seeds_and_further_systems_do_not_go_together(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "a.jsonl", many("base", BAD))
    path = tmp_path / "a.jsonl"
    with pytest.raises(InputError, match="leave out the seeds"):
        judging.compare(path, path, path, seeds=[path])


@pytest.mark.parametrize(
    "odd", [{"age_years": "7"}, {"duration_s": "3"}, {"flags": "x"}, {"language": 5}, {"age_years": 10**400}]
)
def test_a_column_of_the_wrong_kind_is_named(odd: dict[str, Any]) -> None:
    rows = [{**each, **odd} for each in BASE]
    with pytest.raises(InputError, match=next(iter(odd))):
        compare.compare(rows, rows, QUICK)


def test_odd_text_anywhere_is_written_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    odd = [{**each, "id": f"[/x]\ud800{number}", "speaker": "\udfff[/]"} for number, each in enumerate(BASE)]
    write_jsonl(tmp_path / "a.jsonl", odd)
    with pytest.raises(SystemExit) as ended:
        cli.main(["compare", *2 * [str(tmp_path / "a.jsonl")], "--out", str(tmp_path / "c.json"), "--json"])
    assert ended.value.code == 0
    assert json.loads(capsys.readouterr().out)["by_speaker"][0]["unit"] == "\udfff[/]"


def test_other_speech_that_lost_too_much_is_held_against_a_better_model() -> None:
    lost = compare.compare(many("base", {}), many("tuned", {0: "THE SMALL CHOICE"}), QUICK)
    gained = compare.compare(many("base", BAD), many("tuned", {}), QUICK)
    both = compare.compare(many("base", BAD), many("tuned", {}), QUICK, retention={"adults": lost, "telephone": gained})
    assert both["verdict"]["but"] == ["adults loses more than 1 point (0.0 % → 4.2 %)"]
    assert both["verdict"]["outcome"] == "better but"
    assert both["retention"]["telephone"]["b"]["errors"] == 0
    assert [both["retention"][name]["lost"] for name in ("adults", "telephone")] == [True, False]
    alike = compare.compare(many("base", BAD), many("tuned", BAD), QUICK, retention={"adults": lost})
    assert alike["verdict"]["outcome"] == "no evidence"
    assert "and adults loses more than 1 point" in alike["verdict"]["sentence"], "said whatever the outcome"


def test_another_search_is_said() -> None:
    a = [{**each, "beams": 1} for each in many("base", BAD)]
    b = [{**each, "beams": 5} for each in many("tuned", {})]
    assert "A was decoded with 1 beam and B with 5 beams" in compare.compare(a, b, QUICK)["verdict"]["caution"]
    first_lost = [{**a[0], "beams": None}, *a[1:]]
    assert "A was decoded with 1 beam" in compare.compare(first_lost, b, QUICK)["verdict"]["caution"]
    same = [{**each, "beams": 5} for each in a]
    assert "decoded" not in (compare.compare(same, b, QUICK)["verdict"]["caution"] or "")


def test_seeds_are_pooled_and_speakers_stay_the_units() -> None:
    good = system("tuned", ["THE SMALL VOICE"] * 12)
    before, after = hypotheses.pooled(BASE, [TUNED, good], ["base", "seed 1", "seed 2"])
    both, one, two = (compare.compare(a, b, QUICK) for a, b in ((before, after), (BASE, TUNED), (BASE, good)))
    assert both["seeds"] == 2 and one["seeds"] == 1
    assert both["utterances"] == one["utterances"] == 12 and both["duration_s"] == one["duration_s"]
    assert both["bootstrap"]["units"] == one["bootstrap"]["units"] == 4
    pooled, first, second = (each["overall"]["raw"] for each in (both, one, two))
    assert pooled["b"]["wer"] == pytest.approx((first["b"]["wer"] + second["b"]["wer"]) / 2)
    assert pooled["a"]["wer"] == first["a"]["wer"] and pooled["a"]["interval"] == pytest.approx(first["a"]["interval"])
    assert [group["group"] for group in both["groups"]["pooled seed"]] == ["seed 1", "seed 2"]
    assert both["matched_pairs"] == one["matched_pairs"]
    assert "2 seeds pooled" in str(comparison_table(both).title)


def test_seeds_of_other_utterances_are_refused() -> None:
    with pytest.raises(InputError, match="12 ids are in base but not in seed 2"):
        hypotheses.pooled(BASE, [TUNED, [row(99, "")]], ["base", "seed 1", "seed 2"])


STRANGE = st.lists(
    st.one_of(
        st.text(max_size=30),  # any of Unicode, lone surrogates too
        st.sampled_from(
            [
                "",
                "@",
                "{a / b}",
                "{",
                "العربية من اليمين",
                "e\u0301\u0301\u0301",
                "👩‍👩‍👧 hi",
                "\ud800",
                "12,345.6%",
                "x\x00y",
            ]
        ),
    ),
    min_size=6,
    max_size=6,
)


@settings(max_examples=60, deadline=None)
@given(STRANGE, STRANGE, st.sampled_from(["en", "ar", "zh", None]))
def test_any_text_gives_a_number_or_a_clear_error(said: list[str], heard: list[str], language: str | None) -> None:
    before, after = (
        [row(i, text, system=name, reference=ref, language=language) for i, (ref, text) in enumerate(pairs)]
        for name, pairs in (("base", zip(said, heard, strict=True)), ("tuned", zip(said, reversed(heard), strict=True)))
    )
    try:
        both = compare.compare(before, after, QUICK)
    except InputError as error:
        assert str(error)
        return
    assert_strict_json(both)
    assert both["utterances"] == 6
    for block in both["overall"].values():
        for side in ("a", "b"):
            assert (block[side]["wer"] is None) == (block[side]["words"] == 0)


def test_an_utterance_of_fifty_thousand_words() -> None:
    chance = random.Random(0)
    words = [chance.choice(["the", "small", "voice", "7", "won't", "um"]) for _ in range(50_000)]
    heard = [word for word in words if chance.random() > 0.1]
    started = time.monotonic()
    scores = score([row(0, " ".join(heard), reference=" ".join(words)), row(1, "THE SMALL VOICE")])
    assert time.monotonic() - started < 60
    assert scores["wer"]["raw"]["words"] == 50_003
    assert scores["wer"]["raw"]["errors"] == scores["wer"]["raw"]["deletions"] == len(words) - len(heard)


def test_a_group_that_is_not_compared_decides_nothing() -> None:
    block = {"a": {"wer": 0.1}, "b": {"wer": 0.2}, "absolute": {"interval": [0.05, 0.15]}}
    block["relative"] = {"interval": None}
    groups = [{"group": "f", "speakers": 8, "normalised": block}]
    assert verdict.group_buts("gender", groups, 8) == ["gender f is worse (10.0 % → 20.0 %)"]
    assert verdict.group_buts("gender", groups, 9) == []
