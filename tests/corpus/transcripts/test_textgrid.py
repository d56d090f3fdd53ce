from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from tests.corpus.corpora import noise, write_audio
from tests.corpus.transcripts.damage import check_damage

from smallvoice.corpus.transcripts import read, textgrid, tiers
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.segment import Problem, Recording, Segment
from smallvoice.recipe import CorpusRecipe

Label = tuple[float, float, str]


def long_form(*named: tuple[str, Sequence[Label]], sizes: int | None = None) -> str:
    """A TextGrid as Praat writes it: names of tiers, and their intervals."""
    lines = ['File type = "ooTextFile"', 'Object class = "TextGrid"', "", "xmin = 0 ", "xmax = 9 "]
    lines += ["tiers? <exists> ", f"size = {len(named)} ", "item []: "]
    for place, (name, labels) in enumerate(named, 1):
        lines += [f"    item [{place}]:", '        class = "IntervalTier" ', f'        name = "{name}" ']
        lines += ["        xmin = 0 ", "        xmax = 9 "]
        lines += [f"        intervals: size = {len(labels) if sizes is None else sizes} "]
        for number, (start, end, text) in enumerate(labels, 1):
            quoted = text.replace('"', '""')
            lines += [f"        intervals [{number}]:", f"            xmin = {start} ", f"            xmax = {end} "]
            lines += [f'            text = "{quoted}" ']
    return "\n".join(lines) + "\n"


def short_form(*named: tuple[str, Sequence[Label]]) -> str:
    lines = ['"ooTextFile short"', '"TextGrid"', "", "0", "9", "<exists>", str(len(named))]
    for name, labels in named:
        lines += ['"IntervalTier"', f'"{name}"', "0", "9", str(len(labels))]
        for start, end, text in labels:
            quoted = text.replace('"', '""')
            lines += [str(start), str(end), f'"{quoted}"']
    return "\n".join(lines) + "\n"


def _parse(path: Path, data: str | bytes, recipe: CorpusRecipe | None = None) -> Document:
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    assert textgrid.READER.recognises(head_of(path))
    return textgrid.parse(path, "s1/a.TextGrid", recipe or CorpusRecipe())


def _labels(document: Document) -> list[Label]:
    return [(segment.start_s or 0.0, segment.end_s or 0.0, segment.text) for segment in document.segments]


def _reasons(document: Document) -> dict[str, int]:
    return dict(Counter(problem.reason for problem in document.problems))


ANNA = ("anna", [(0, 1, ""), (1, 2.5, 'she said ""oh""'), (2.5, 4, "   "), (4, 5, "über\nzwei Zeilen"), (5, 9, "ende")])
PLAIN = [(1.0, 2.5, 'she said ""oh""'), (4.0, 5.0, "über zwei Zeilen"), (5.0, 9.0, "ende")]


@pytest.mark.parametrize("form", [long_form, short_form])
@pytest.mark.parametrize(
    ("encoding", "mark"),
    [
        ("utf-8", b""),
        ("utf-8", b"\xef\xbb\xbf"),
        ("utf-16-le", b""),
        ("utf-16-le", b"\xff\xfe"),
        ("utf-16-be", b""),
        ("utf-16-be", b"\xfe\xff"),
        ("latin-1", b""),
    ],
)
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_forms_and_encodings(
    form: Callable[..., str], encoding: str, mark: bytes, newline: str, tmp_path: Path
) -> None:
    data = mark + form(ANNA).replace("\n", newline).encode(encoding)
    document = _parse(tmp_path / "a.TextGrid", data)
    assert _labels(document) == PLAIN
    assert not document.problems
    assert bool(document.notes) == (encoding == "latin-1"), "what had to be guessed is said"
    segment = document.segments[1]
    assert (segment.tier, segment.speaker, segment.role) == ("anna", "anna", None)


def test_the_line_is_that_of_the_label(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.TextGrid", long_form(ANNA))
    assert [segment.where for segment in document.segments] == [f"s1/a.TextGrid:{line}" for line in (22, 30, 35)]
    document = _parse(tmp_path / "a.TextGrid", short_form(ANNA))
    assert [segment.where for segment in document.segments] == [f"s1/a.TextGrid:{line}" for line in (18, 24, 28)]


def test_points_are_segments_without_length(tmp_path: Path) -> None:
    text = 'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n9\n<exists>\n2\n"TextTier"\n"clicks"\n0\n9\n2\n'
    text += '1.5\n"a"\n3\n""\n"IntervalTier"\n"anna"\n0\n9\n1\n0\n9\n"hi"\n'
    assert _labels(_parse(tmp_path / "a.TextGrid", text)) == [(1.5, 1.5, "a"), (0.0, 9.0, "hi")]


@pytest.mark.parametrize(
    "header",
    [
        "File type = ooTextFile\nObject class = TextGrid\n",
        "ooTextFile short\nTextGrid\n",
        '\n"ooTextFile"\n\n"TextGrid"',
    ],
)
def test_headers_without_quotes(header: str, tmp_path: Path) -> None:
    body = short_form(ANNA).partition('"TextGrid"')[2]
    assert _labels(_parse(tmp_path / "a.TextGrid", header + body)) == PLAIN


def test_what_does_not_stand_free_is_comment(tmp_path: Path) -> None:
    text = 'File type = "ooTextFile"\nObject class = "TextGrid"\n! 5 "no" 7\n0s 9s <exists> 1 ! tiers: 2\n'
    text += '"IntervalTier" name:"x" "anna" from 0 to 9 a [3] - + 1\n0 begin 1.25e0s "yes" ! "no"\n'
    document = _parse(tmp_path / "a.TextGrid", text)
    assert _labels(document) == [(0.0, 1.25, "yes")]
    assert not document.notes


def test_times_are_kept_as_they_stand(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.TextGrid", long_form(("anna", [(3, 2, "back"), (1, 99, "past the end")])))
    assert _labels(document) == [(3.0, 2.0, "back"), (1.0, 99.0, "past the end")]


def test_sizes_are_compared_and_not_believed(tmp_path: Path) -> None:
    text = long_form(("anna", [(0, 1, "a"), (1, 2, "b")]), sizes=10**12).replace("size = 1 \nitem", "size = 7 \nitem")
    document = _parse(tmp_path / "a.TextGrid", text)
    assert len(document.segments) == 2
    assert document.notes == ("it says 7 tiers, and has 1", "tier anna says 1e+12 labels, and has 2")


def test_damaged_labels_are_problems_that_hold_them(tmp_path: Path) -> None:
    text = short_form(("anna", [(0, 1, "one"), (1, 2, "two"), (2, 3, "three")]))
    document = _parse(tmp_path / "a.TextGrid", text.replace('1\n2\n"two"', '1\n--undefined--\n"two"'))
    assert [problem.segment and problem.segment.text for problem in document.problems] == ["two"]
    document = _parse(tmp_path / "a.TextGrid", text.replace('1\n2\n"two"', '2\n"two"'))
    assert [segment.text for segment in document.segments] == ["one", "three"]
    assert _reasons(document) == {"label without times": 1}
    document = _parse(tmp_path / "a.TextGrid", text[:-3])
    assert _reasons(document) == {"file ends within a label": 1}
    document = _parse(tmp_path / "a.TextGrid", text[: text.index('"three')])
    assert _reasons(document) == {"file ends within a label": 1}
    assert len(document.segments) == 2


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"ooBinaryFile\x08TextGrid\0\0\0\0\0\0\0\0", "binary TextGrid"),
        (b'File type = "ooTextFile"\nObject class = "Pitch 1"\n', "not a TextGrid"),
        (b'File type = "ooTextFile"\nObject class = "TextGrid"\n\n0\n1\n<absent>\n', "no tiers"),
        (b"", "empty file"),
        (b"\xff\xfe\xff", "not a TextGrid"),
    ],
)
def test_what_cannot_be_read_says_why(data: bytes, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.TextGrid"
    path.write_bytes(data)
    with pytest.raises(Unreadable) as raised:
        textgrid.parse(path, "a.TextGrid", CorpusRecipe())
    assert raised.value.reason == reason


def test_only_textgrids_are_recognised(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for data in (b'File type = "ooTextFile"\nObject class = "Pitch 1"\n', b"a TextGrid is an ooTextFile", b"\xff\xfe"):
        path.write_bytes(data)
        assert not textgrid.READER.recognises(head_of(path))


UTTERANCES = [(0.0, 2.0, "The cat"), (2.0, 3.0, ""), (3.0, 5.0, "sat down.")]
WORDS = [(0.1, 0.5, "the"), (0.5, 1.0, "cat"), (1.0, 3.0, "<eps>"), (3.0, 3.5, "sat"), (3.5, 5.005, "down")]
PHONES = [(0.1, 0.3, "DH"), (0.3, 0.5, "AH0")]


def _words(segment: Segment) -> list[str]:
    return [word.text for word in segment.words]


@pytest.mark.parametrize(
    "names", [("mia - utterances", "mia - words", "mia - phones"), ("mia", "mia - words", "mia - phones")]
)
def test_aligned_words_go_with_their_utterances(names: tuple[str, str, str], tmp_path: Path) -> None:
    grid = long_form(*zip(names, (UTTERANCES, WORDS, PHONES), strict=True))
    document = _parse(tmp_path / "a.TextGrid", grid)
    assert [(segment.text, _words(segment)) for segment in document.segments] == [
        ("The cat", ["the", "cat"]),
        ("sat down.", ["sat", "down"]),
    ]
    assert {segment.speaker for segment in document.segments} == {"mia"}
    assert _reasons(document) == {"tier of words, read with its utterances": 5, "tier of phones": 2}
    word = document.segments[0].words[1]
    assert (word.start_s, word.end_s) == (0.5, 1.0)


def test_words_of_nobody_go_with_the_tier_that_says_the_same(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.TextGrid", long_form(("Anna", UTTERANCES), ("words", WORDS), ("phones", PHONES)))
    assert [_words(segment) for segment in document.segments] == [["the", "cat"], ["sat", "down"]]
    whole = ("quality", [(0.0, 9.0, "good, some noise")])
    document = _parse(tmp_path / "a.TextGrid", long_form(whole, ("words", WORDS)))
    assert [segment.text for segment in document.segments if segment.tier == "words"] == ["the cat", "sat down"]


def test_words_alone_are_segments_up_to_a_pause(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.TextGrid", long_form(("mia - words", WORDS), ("mia - phones", PHONES)))
    assert _labels(document) == [(0.1, 1.0, "the cat"), (3.0, 5.005, "sat down")]
    assert [_words(segment) for segment in document.segments] == [["the", "cat"], ["sat", "down"]]
    assert [segment.where for segment in document.segments] == ["s1/a.TextGrid:18", "s1/a.TextGrid:30"]
    assert _reasons(document) == {"no words": 1, "tier of phones": 2}
    assert {(segment.speaker, segment.tier) for segment in document.segments} == {("mia", "mia - words")}
    assert document.words_alone
    two = _parse(tmp_path / "a.TextGrid", long_form(("mia - words", WORDS), ("ben - words", WORDS)))
    assert not two.words_alone, "who says what is more than a text of all"


def test_a_tier_called_words_may_hold_utterances(tmp_path: Path) -> None:
    labels = [(0.0, 1.0, "the cat"), (1.0, 2.0, "sat down"), (2.0, 3.0, "oh")]
    document = _parse(tmp_path / "a.TextGrid", long_form(("words", labels)))
    assert _labels(document) == labels and not document.words_alone


def test_marks_of_other_aligners(tmp_path: Path) -> None:
    marks = [(0.0, 0.2, "SIL"), (0.2, 0.5, "I"), (0.5, 0.6, "{LG}"), (0.6, 0.9, "SEE"), (0.9, 1.0, "{ns}")]
    document = _parse(tmp_path / "a.TextGrid", long_form(("Anna - word", [*marks, (1.0, 1.2, "SPN"), (1.2, 2, "IT")])))
    assert [segment.text for segment in document.segments] == ["I SEE", "IT"], "nothing is joined across unknown words"
    assert _reasons(document) == {"no words": 4}


@pytest.mark.parametrize(("end", "says_more"), [(9, "text"), (40, "textgrid")])
def test_a_text_of_the_whole_says_more_than_words_alone(end: int, says_more: str, tmp_path: Path) -> None:
    write_audio(tmp_path / "a.wav", noise(1))
    grid = long_form(("words", WORDS)).replace("xmax = 9", f"xmax = {end}", 1)
    (tmp_path / "a.TextGrid").write_text(grid, encoding="utf-8")
    (tmp_path / "a.lab").write_text("The cat sat down.", encoding="utf-8")
    items = list(read(tmp_path, CorpusRecipe()))
    (recording,) = [item for item in items if isinstance(item, Recording)]
    texts = {"text": ["The cat sat down."], "textgrid": ["the cat", "sat down"]}
    assert [segment.text for segment in recording.segments] == texts[says_more]
    lost = [item for item in items if isinstance(item, Problem) and item.reason == "another transcript is used"]
    assert [problem.segment.text for problem in lost if problem.segment] == [*texts.values()][says_more == "text"]


def test_a_word_outside_every_utterance_is_said(tmp_path: Path) -> None:
    grid = long_form(("mia - utterances", UTTERANCES), ("mia - words", [*WORDS, (7.0, 8.0, "oh")]))
    document = _parse(tmp_path / "a.TextGrid", grid)
    assert _reasons(document)["word outside its utterances"] == 1


def test_chosen_tiers(tmp_path: Path) -> None:
    grid = long_form(("CHI", UTTERANCES), ("MOT", UTTERANCES), ("MOT - phones", PHONES))
    document = _parse(tmp_path / "a.TextGrid", grid, CorpusRecipe(tiers=["chi*", "mot - phones"]))
    assert {segment.tier for segment in document.segments} == {"CHI", "MOT - phones"}
    assert _reasons(document) == {"tier not chosen": 2}
    assert {problem.segment.tier for problem in document.problems if problem.segment} == {"MOT"}
    chi = document.segments[0]
    assert (chi.speaker, chi.role) == ("s1/a:CHI", "child")


def test_a_tier_of_segments_is_one_of_phones_only_where_it_looks_like_it(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.TextGrid", long_form(("segments", PHONES), ("a - segments", UTTERANCES)))
    assert [segment.text for segment in document.segments] == ["The cat", "sat down."]
    assert _reasons(document) == {"tier of phones": 2}


@pytest.mark.parametrize(
    ("name", "speaker"),
    [
        ("anna", "anna"),
        ("  CHI* ", "CHI"),
        ("Words", None),
        ("utterance 2", None),
        ("tier_1", None),
        ("anna - words", "anna"),
        ("Anna - Smith", "Anna - Smith"),
        ("ORT-MAU", None),
        ("", None),
    ],
)
def test_whose_a_tier_is(name: str, speaker: str | None) -> None:
    assert tiers.speaker_of(name) == speaker


def test_reading_takes_time_in_proportion(tmp_path: Path) -> None:
    hostile = ['""' * 200_000, " " * 400_000, "- " * 200_000, '"IntervalTier" "words" 0 1 0 ' * 15_000]
    hostile += ['"IntervalTier" "words" 0 1 1 0 1 "a" ' * 10_000, "1" * 400_000, '"a - words"' * 30_000]
    for body in hostile:
        data = 'File type = "ooTextFile"\nObject class = "TextGrid"\n0 1 <exists> 1 "IntervalTier" "a" 0 1 1 ' + body
        started = time.monotonic()
        _parse(tmp_path / "a.TextGrid", data)
        assert time.monotonic() - started < 6  # the slowest takes 1.1 s with a core of its own


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
@pytest.mark.parametrize("form", [long_form, short_form])
def test_damage_never_breaks_the_reader(form: Callable[..., str], encoding: str, tmp_path: Path) -> None:
    grid = form(("mia - utterances", UTTERANCES), ("mia - words", WORDS), ("mia - phones", PHONES))
    check_damage(textgrid.READER, grid.encode(encoding), tmp_path)


def test_real_files_as_praatio_reads_them(shared_data: Path) -> None:
    from praatio import textgrid as praat

    paths = sorted((shared_data / "transcripts").glob("*/*.TextGrid"))
    if not paths:
        pytest.skip("no TextGrids in the shared data")
    for path in paths:
        assert textgrid.READER.recognises(head_of(path))
        document = textgrid.parse(path, path.name, CorpusRecipe())
        lost = [problem.segment for problem in document.problems if problem.segment]
        assert len(lost) == len(document.problems) and not document.notes
        # Segments on a tier of words are made of its labels.
        parts = [(s.tier, s.words if tiers.parts(s.tier or "")[1] in tiers.WORDS else [s]) for s in document.segments]
        found = Counter((s.tier, s.start_s, s.end_s, s.text) for s in lost)
        found += Counter((tier, s.start_s, s.end_s, s.text) for tier, labels in parts for s in labels)
        grid = praat.openTextgrid(str(path), includeEmptyIntervals=False, reportingMode="silence")
        expected = Counter(
            (tier.name.strip(), entry[0], entry[-2], " ".join(entry[-1].split()))
            for tier in grid.tiers
            for entry in tier.entries
            if entry[-1].strip()
        )
        assert found == expected, path.name


def test_times_with_a_comma_and_letters_of_windows(tmp_path: Path) -> None:
    text = short_form(("anna", [(0.0, 1.5, "don’t"), (1.5, 2.9, "café")])).replace("1.5", "1,5").replace("2.9", "2,9")
    document = _parse(tmp_path / "a.TextGrid", text.encode("cp1252"))
    assert _labels(document) == [(0.0, 1.5, "don’t"), (1.5, 2.9, "café")]
    assert "Windows-1252" in document.notes[0]
