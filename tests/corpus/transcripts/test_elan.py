from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import check_damage

from smallvoice.corpus.transcripts import elan
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.recipe import CorpusRecipe


def aligned(name: str, start: str, end: str, text: str) -> str:
    return (
        f'<ANNOTATION><ALIGNABLE_ANNOTATION ANNOTATION_ID="{name}" TIME_SLOT_REF1="{start}" TIME_SLOT_REF2="{end}">\n'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></ALIGNABLE_ANNOTATION></ANNOTATION>\n"
    )


def referring(name: str, parent: str, text: str, previous: str = "") -> str:
    before = f' PREVIOUS_ANNOTATION="{previous}"' if previous else ""
    return (
        f'<ANNOTATION><REF_ANNOTATION ANNOTATION_ID="{name}" ANNOTATION_REF="{parent}"{before}>\n'
        f"<ANNOTATION_VALUE>{text}</ANNOTATION_VALUE></REF_ANNOTATION></ANNOTATION>\n"
    )


def tier(name: str, *annotations: str, kind: str = "utterance", about: str = "") -> str:
    return f'<TIER TIER_ID="{name}" LINGUISTIC_TYPE_REF="{kind}" {about}>\n{"".join(annotations)}</TIER>\n'


SLOTS = {"ts1": 0, "ts2": 1000, "ts3": None, "ts4": None, "ts5": 2500, "ts6": 4000}
MEDIA = (
    '<MEDIA_DESCRIPTOR MEDIA_URL="file:///C:/Kids/a%20b.wav" MIME_TYPE="audio/x-wav" RELATIVE_MEDIA_URL="./a b.wav"/>'
)


def eaf(*all_tiers: str, media: str = MEDIA, units: str = "milliseconds") -> str:
    slots = "".join(
        f'<TIME_SLOT TIME_SLOT_ID="{name}"' + ("" if time is None else f' TIME_VALUE="{time}"') + "/>\n"
        for name, time in SLOTS.items()
    )
    kinds = '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="utterance" TIME_ALIGNABLE="true"/>\n'
    kinds += '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="code" CONTROLLED_VOCABULARY_REF="xds"/>\n'
    kinds += '<LINGUISTIC_TYPE LINGUISTIC_TYPE_ID="split" CONSTRAINTS="Symbolic_Subdivision"/>\n'
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ANNOTATION_DOCUMENT AUTHOR="" VERSION="3.0">\n'
        f'<HEADER MEDIA_FILE="" TIME_UNITS="{units}">{media}</HEADER>\n<TIME_ORDER>\n{slots}</TIME_ORDER>\n'
        f"{''.join(all_tiers)}{kinds}</ANNOTATION_DOCUMENT>\n"
    )


def _parse(path: Path, text: str, *chosen: str) -> Document:
    path.write_text(text, encoding="utf-8")
    assert elan.READER.recognises(head_of(path))
    return elan.parse(path, "s1/a.eaf", CorpusRecipe(tiers=list(chosen)))


def _times(document: Document) -> dict[str, tuple[float | None, float | None]]:
    return {segment.text: (segment.start_s, segment.end_s) for segment in document.segments}


def _reasons(document: Document) -> dict[str, int]:
    return dict(Counter(problem.reason for problem in document.problems))


CHI = tier("CHI", aligned("a1", "ts1", "ts2", "one two"), aligned("a2", "ts5", "ts6", "thrée &amp; more"))


def test_aligned_annotations(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.eaf", eaf(CHI))
    first, second = document.segments
    assert (first.text, first.start_s, first.end_s, first.tier) == ("one two", 0.0, 1.0, "CHI")
    assert (first.speaker, first.role, first.language) == ("s1/a:CHI", "child", None)
    assert (second.text, second.start_s, second.end_s) == ("thrée & more", 2.5, 4.0)
    lines = eaf(CHI).splitlines()
    assert "one two" in lines[int(first.where.rpartition(":")[2]) - 1]
    assert first.where.startswith("s1/a.eaf:")
    assert not document.problems and not document.notes


def test_times_between_are_interpolated_evenly(tmp_path: Path) -> None:
    words = [aligned("a1", "ts2", "ts3", "a"), aligned("a2", "ts3", "ts4", "b"), aligned("a3", "ts4", "ts5", "c")]
    document = _parse(tmp_path / "a.eaf", eaf(tier("anna", *words)))
    assert _times(document) == {"a": (1.0, 1.5), "b": (1.5, 2.0), "c": (2.0, 2.5)}


def test_references_share_their_parents_time(tmp_path: Path) -> None:
    whole = tier("tr@CHI", referring("b1", "a1", "un deux"), about='PARENT_REF="CHI"')
    # The order is that of PREVIOUS_ANNOTATION, not of the file.
    pieces = [referring("c2", "a1", "two", "c1"), referring("c3", "a1", "!", "c2"), referring("c1", "a1", "one")]
    parts = tier("w@CHI", *pieces, referring("c9", "a2", "x"), kind="split", about='PARENT_REF="CHI"')
    glosses = tier("g@CHI", referring("d1", "c2", "deux"), about='PARENT_REF="w@CHI"')
    document = _parse(tmp_path / "a.eaf", eaf(glosses, parts, CHI, whole), "*@CHI")
    times = {text: tuple(round(time or 0, 4) for time in span) for text, span in _times(document).items()}
    assert times == {
        "un deux": (0.0, 1.0),
        "one": (0.0, 0.3333),
        "two": (0.3333, 0.6667),
        "!": (0.6667, 1.0),
        "x": (2.5, 4.0),
        "deux": (0.3333, 0.6667),
    }
    assert {segment.speaker for segment in document.segments} == {"s1/a:CHI"}
    assert _reasons(document) == {"tier not chosen": 2}


def test_dependent_tiers_codes_and_notes_are_not_speech(tmp_path: Path) -> None:
    others = [
        tier("xds@CHI", referring("b1", "a1", "C"), about='PARENT_REF="CHI"'),
        tier("noise", aligned("b2", "ts1", "ts2", "N"), kind="code"),
        tier("code_num_periodic", aligned("b3", "ts1", "ts2", "1")),
    ]
    document = _parse(tmp_path / "a.eaf", eaf(CHI, *others))
    assert len(document.segments) == 2
    assert _reasons(document) == {"dependent tier": 1, "tier of codes": 1, "tier of notes": 1}
    lost = document.problems[0].segment
    assert lost is not None and (lost.text, lost.start_s, lost.end_s) == ("C", 0.0, 1.0)


def test_whose_a_tier_is(tmp_path: Path) -> None:
    one = aligned("a1", "ts1", "ts2", "hm")
    tiers = [
        tier("CHI", one, about='PARTICIPANT="Anna" LANG_REF="deu"'),
        tier("FA2", one, about='PARTICIPANT="MULTI" LANG_REF="und"'),
        tier("default", one),
        tier("transcription@Ben", one),
    ]
    document = _parse(tmp_path / "a.eaf", eaf(*tiers))
    found = [(segment.speaker, segment.role, segment.language) for segment in document.segments]
    assert found == [("Anna", "child", "deu"), ("s1/a:FA2", "adult", None), (None, None, None), ("Ben", None, None)]


def test_nothing_is_lost_without_a_word(tmp_path: Path) -> None:
    circle = [referring("b1", "b2", "round"), referring("b2", "b1", "and round"), referring("b3", "b3", "me")]
    rest = [aligned("a8", "ts1", "ts99", "no slot"), aligned("a9", "ts1", "ts2", " "), referring("b4", "zz", "orphan")]
    stray = aligned("a7", "ts1", "ts2", "astray")
    document = _parse(tmp_path / "a.eaf", eaf(CHI, tier("anna", *circle, *rest), stray))
    assert _reasons(document) == {"annotation without time": 5}
    assert {problem.segment.text for problem in document.problems if problem.segment} == {
        "round",
        "and round",
        "me",
        "no slot",
        "orphan",
    }
    assert document.notes == (
        "1 of 8 annotations are empty",
        "1 annotations stand outside tiers and are not read",
    )


def test_media(tmp_path: Path) -> None:
    assert _parse(tmp_path / "a.eaf", eaf(CHI)).media == ("./a b.wav", "a b.wav")
    video = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/v.mp4" MIME_TYPE="video/mp4"/>'
    sound = '<MEDIA_DESCRIPTOR MEDIA_URL="file:///x/s.wav" MIME_TYPE="audio/x-wav" TIME_ORIGIN="500"/>'
    document = _parse(tmp_path / "a.eaf", eaf(CHI, media=video + sound))
    assert document.media == ("s.wav", "v.mp4")
    assert document.segments[0].start_s == 0.5
    assert document.notes == ("its media begin at different times; times are those of the one that is read",)
    assert _parse(tmp_path / "a.eaf", eaf(CHI, media="")).media == ()


def test_times_in_frames(tmp_path: Path) -> None:
    assert _parse(tmp_path / "a.eaf", eaf(CHI, units="PAL-frames")).segments[0].end_s == 40.0


BOMB = '<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">]>'


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (eaf(CHI).replace("?>", f"?>{BOMB}").replace("one two", "&b;"), "forbidden XML"),
        (eaf(CHI).replace("?>", '?><!DOCTYPE a SYSTEM "file:///etc/passwd">'), "forbidden XML"),
        (eaf("<a>" * 5000 + "</a>" * 5000), "forbidden XML"),
        (eaf(CHI).replace("one two", "&nothing;"), "damaged XML"),
        (eaf(CHI)[:-30], "damaged XML"),
        (eaf(CHI).replace("UTF-8", "shift_jis"), "damaged XML"),
        ("<other/>", "another kind of XML"),
        ("", "empty file"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.eaf"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Unreadable) as raised:
        elan.parse(path, "a.eaf", CorpusRecipe())
    assert raised.value.reason == reason


def test_damage_never_breaks_the_reader(tmp_path: Path) -> None:
    parts = tier("w@CHI", referring("c1", "a1", "one"), referring("c2", "a1", "two", "c1"), about='PARENT_REF="CHI"')
    check_damage(elan.READER, eaf(CHI, parts).encode(), tmp_path, CorpusRecipe(tiers=["*"]))


def test_damaged_references_never_break_the_reader(tmp_path: Path) -> None:
    """Damage to the names alone, which leaves the XML whole."""
    parts = tier("w@CHI", *(referring(f"c{place}", "a1", "x", f"c{place - 1}") for place in range(40)))
    text = eaf(CHI, parts)
    for place in range(40):
        path = tmp_path / "a.eaf"
        path.write_text(text.replace(f'"c{place}"', f'"c{(7 * place) % 40}"'), encoding="utf-8")
        document = elan.parse(path, "a.eaf", CorpusRecipe())
        assert len(document.segments) + len(document.problems) == 42


def test_real_files_as_pympi_reads_them(shared_data: Path) -> None:
    import pympi

    paths = sorted((shared_data / "transcripts").glob("*/*.eaf"))
    if not paths:
        pytest.skip("no ELAN files in the shared data")
    for path in paths:
        assert elan.READER.recognises(head_of(path))
        document = elan.parse(path, path.name, CorpusRecipe())
        lost = [problem.segment for problem in document.problems if problem.segment]
        assert len(lost) == len(document.problems)
        found = Counter((s.tier, s.start_s, s.end_s, s.text) for s in (*document.segments, *lost))
        other = pympi.Elan.Eaf(str(path))
        expected: Counter[tuple[str, float, float, str]] = Counter()
        for name in other.get_tier_names():
            # pympi gives annotations that refer to another one with that one's time.
            for start, end, text, *_ in other.get_annotation_data_for_tier(name):
                if text.strip():
                    expected[name, start / 1000, end / 1000, " ".join(text.split())] += 1
        assert found == expected, path.name
        total = sum(len(aligned) + len(references) for aligned, references, *_ in other.tiers.values())
        empty = total - sum(expected.values())
        assert any(note.startswith(f"{empty} of {total} annotations") for note in document.notes) is (empty > 0)
