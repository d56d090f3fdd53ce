from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import check_damage

from smallvoice.corpus.transcripts import transcriber
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.recipe import CorpusRecipe

SPEAKERS = """<Speakers>
<Speaker id="spk1" name="Anna" check="no" type="female" dialect="nonnative" accent="Welsh" scope="global"/>
<Speaker id="spk2" name="speaker#2" check="no" type="child" dialect="native" accent="" scope="local"/>
<Speaker id="spk3" name="CHI" scope="local"/>
</Speakers>
"""


def trs(*turns: str, head: str = '<!DOCTYPE Trans SYSTEM "trans-14.dtd">', encoding: str = "UTF-8") -> str:
    return (
        f'<?xml version="1.0" encoding="{encoding}"?>\n{head}\n'
        '<Trans scribe="me" audio_filename="rec 1" version="1" version_date="020301" xml:lang="fr">\n'
        f'{SPEAKERS}<Episode>\n<Section type="report" startTime="0" endTime="9">\n'
        f"{''.join(turns)}</Section>\n</Episode>\n</Trans>\n"
    )


def turn(speakers: str, start: str, end: str, body: str) -> str:
    return f'<Turn speaker="{speakers}" startTime="{start}" endTime="{end}">\n{body}\n</Turn>\n'


def _parse(path: Path, text: str) -> Document:
    path.write_text(text, encoding="utf-8")
    assert transcriber.READER.recognises(head_of(path))
    return transcriber.parse(path, "s1/a.trs", CorpusRecipe())


ANNA = turn(
    "spk1", "0", "4.5", '<Sync time="0"/>\nbonjour à\ntous\n<Sync time="2.25"/>\n\n<Sync time="3"/>\nmerci &amp; fin'
)
BOTH = turn("spk1 spk2", "4.5", "6", '<Sync time="4.5"/>\n<Who nb="1"/>\noui\n<Who nb="2"/>\nnon alors')


def test_text_between_sync_points(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.trs", trs(ANNA))
    assert [(s.text, s.start_s, s.end_s) for s in document.segments] == [
        ("bonjour à tous", 0.0, 2.25),
        ("merci & fin", 3.0, 4.5),
    ]
    first = document.segments[0]
    assert (first.speaker, first.gender, first.role, first.language) == ("Anna", "f", None, "fr")
    assert first.extra == {"dialect": "nonnative", "accent": "Welsh"} and first.flags == ()
    lines = trs(ANNA).splitlines()
    assert ["bonjour" in lines[9 + 3], first.where] == [True, "s1/a.trs:13"]
    assert document.media == ("rec 1",)
    assert document.notes == ("1 stretches without text",)


def test_two_at_once_are_a_segment_each(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.trs", trs(BOTH))
    anna, child = document.segments
    assert (anna.text, anna.speaker, child.text, child.speaker) == ("oui", "Anna", "non alors", "s1/a:speaker#2")
    assert (anna.start_s, anna.end_s) == (child.start_s, child.end_s) == (4.5, 6.0)
    assert anna.flags == child.flags == ("overlaps another segment",)
    assert (child.role, child.gender) == ("child", None)


def test_one_who_speaks_while_another_is_silent_does_not_overlap(tmp_path: Path) -> None:
    body = '<Sync time="0"/><Who nb="1"/>\n\n<Who nb="2"/>\nseul\n<Sync time="1"/>\nqui parle'
    document = _parse(tmp_path / "a.trs", trs(turn("spk1 spk2", "0", "2", body)))
    assert [(s.text, s.speaker, s.flags) for s in document.segments] == [
        ("seul", "s1/a:speaker#2", ()),
        ("qui parle", None, ("speaker not said",)),
    ]


def test_events_are_no_words(tmp_path: Path) -> None:
    body = '<Sync time="0"/>\nle<Event desc="b" type="noise" extent="instantaneous"/>chat\n'
    body += '<Event desc="en" type="language" extent="begin"/>cat<Event desc="en" type="language" extent="end"/>\n'
    body += '<Comment desc="sûr ?"/><Background time="0.5" type="music" level="high"/>\n'
    body += '<Sync time="1"/><Event desc="rire"/>\n<Sync time="2"/>\nfin'
    document = _parse(tmp_path / "a.trs", trs(turn("spk3", "0", "3", body)))
    first, last = document.segments
    assert (first.text, last.text, last.flags) == ("le chat cat", "fin", ())
    assert first.flags == ("comment left out", "language event left out", "noise event left out")
    assert first.extra["marks"] == ["noise event: b", "language event: en", "language event: en", "comment: sûr ?"]
    assert (first.speaker, first.role) == ("s1/a:CHI", "child")
    (problem,) = document.problems
    assert (problem.reason, problem.detail) == ("no words", "noise event rire")
    assert problem.segment is not None and (problem.segment.start_s, problem.segment.end_s) == (1.0, 2.0)
    assert document.notes == ("1 marks of background noise are not read",)


def test_nothing_is_lost_without_a_word(tmp_path: Path) -> None:
    turns = [
        turn("spk1", "0", "2", 'avant\n<Sync time="un"/>\nmilieu\n<Sync time="1"/>\naprès'),
        turn("spk9", "2", "3", '<Sync time="2"/>\ninconnu'),
        turn("spk1 spk2", "3", "4", '<Sync time="3"/><Who nb="7"/>\nqui'),
        turn("", "4", "5", "<Sync time='4'>dedans <b>gras</b></Sync>"),
        "dehors\n",
    ]
    document = _parse(tmp_path / "a.trs", trs(*turns))
    assert [(s.text, s.speaker) for s in document.segments] == [
        ("après", "Anna"),
        ("inconnu", "s1/a:spk9"),
        ("qui", None),
        ("dedans gras", None),
    ]
    assert Counter(p.reason for p in document.problems) == {"bad times": 2, "text outside a turn": 1}
    assert [p.segment.text for p in document.problems if p.segment] == ["avant", "milieu", "dehors"]


def test_other_encodings(tmp_path: Path) -> None:
    path = tmp_path / "a.trs"
    for encoding in ("ISO-8859-1", "windows-1252", "UTF-16"):
        path.write_bytes(trs(ANNA, encoding=encoding).encode(encoding))
        assert transcriber.READER.recognises(head_of(path))
        assert transcriber.parse(path, "a.trs", CorpusRecipe()).segments[0].text == "bonjour à tous"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (trs(ANNA, head='<!DOCTYPE Trans SYSTEM "trans-14.dtd" [<!ENTITY a "b">]>'), "forbidden XML"),
        (trs(ANNA, head='<!DOCTYPE Trans [<!ENTITY % a SYSTEM "file:///etc/passwd"> %a;]>'), "forbidden XML"),
        (trs(ANNA, head="<!DOCTYPE Trans [<!ELEMENT Trans ANY>]>"), "forbidden XML"),
        (trs(ANNA.replace("tous", "&eacute;")), "damaged XML"),
        (trs(ANNA)[:-9], "damaged XML"),
        ('<!DOCTYPE AGSet SYSTEM "ag.dtd"><AGSet/>', "another kind of XML"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.trs"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Unreadable) as raised:
        transcriber.parse(path, "a.trs", CorpusRecipe())
    assert raised.value.reason == reason


def test_a_definition_is_named_and_never_loaded(tmp_path: Path) -> None:
    (tmp_path / "evil.dtd").write_text('<!ENTITY x "taken">', encoding="utf-8")
    text = trs(ANNA.replace("tous", "&x;"), head=f'<!DOCTYPE Trans SYSTEM "{(tmp_path / "evil.dtd").as_uri()}">')
    with pytest.raises(Unreadable):
        _parse(tmp_path / "a.trs", text)
    assert _parse(tmp_path / "a.trs", text.replace("&x;", "tous")).segments[0].text == "bonjour à tous"


def test_reading_takes_time_in_proportion(tmp_path: Path) -> None:
    for body in ("mot\n" * 50_000, '<Event desc="b"/>' * 20_000, '<Who nb="1"/>a\n' * 20_000):
        started = time.monotonic()
        _parse(tmp_path / "a.trs", trs(turn("spk1", "0", "1", body)))
        assert time.monotonic() - started < 2


def test_damage_never_breaks_the_reader(tmp_path: Path) -> None:
    check_damage(transcriber.READER, trs(ANNA, BOTH).encode(), tmp_path)
