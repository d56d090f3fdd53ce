from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import check_damage

from smallvoice.corpus.transcripts import lena
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.segment import Segment
from smallvoice.recipe import CorpusRecipe

CHILD = '<ChildInfo dob="2015-01-01" gender="M" chronologicalAge="P21M" avaModelAge="P22M"/>'


def segment(code: str, start: str, end: str, about: str = "", inside: str = "") -> str:
    return f'<Segment spkr="{code}" average_dB="-25.6" {about} startTime="{start}" endTime="{end}">{inside}</Segment>\n'


def its(*segments: str, child: str = CHILD, head: str = '<!DOCTYPE ITS SYSTEM "its.dtd" >') -> str:
    return (
        f'<?xml version="1.0" encoding="UTF-8" ?>\n{head}\n<ITS fileName="e20170925_072936" version="4.6.0">\n'
        f'<ProcessingUnit>\n{child}\n<Recording num="1" startClockTime="2017-09-25T07:29:36Z" startTime="PT0.00S" '
        f'endTime="PT4218.24S">\n<Pause num="1" startTime="PT0.00S" endTime="PT9.13S">\n{"".join(segments)}'
        "</Pause>\n</Recording>\n</ProcessingUnit>\n</ITS>\n"
    )


DAY = [
    segment("NOF", "PT0.00S", "PT1.99S"),
    segment("CHN", "PT1.99S", "PT2.59S", 'startUtt1="PT2.0S" endUtt1="PT2.5S" childUttCnt="1"'),
    segment("FAN", "PT3600.25S", "PT1H0M2.5S"),
    segment("CXN", "PT3602.5S", "PT3603S"),
    segment("MAF", "PT3603S", "PT3604S"),
]


def _parse(path: Path, text: str) -> Document:
    path.write_text(text, encoding="utf-8")
    assert lena.READER.recognises(head_of(path))
    return lena.parse(path, "s1/a.its", CorpusRecipe())


def _lost(document: Document) -> list[Segment]:
    return [problem.segment for problem in document.problems if problem.segment]


def test_every_segment_is_a_problem_that_holds_it(tmp_path: Path) -> None:
    document = _parse(tmp_path / "a.its", its(*DAY))
    assert not document.segments
    assert Counter(problem.reason for problem in document.problems) == {"no text": 5}
    assert [(s.tier, s.start_s, s.end_s, s.role, s.gender, s.age_years) for s in _lost(document)] == [
        ("NOF", 0.0, 1.99, None, None, None),
        ("CHN", 1.99, 2.59, "child", "m", 1.75),
        ("FAN", 3600.25, 3602.5, "adult", "f", None),
        ("CXN", 3602.5, 3603.0, "child", None, None),
        ("MAF", 3603.0, 3604.0, "adult", "m", None),
    ]
    assert _lost(document)[1].speaker == "s1/a:CHN"
    assert document.problems[0].where == "s1/a.its:8"
    assert document.media == ("e20170925_072936",)


def test_a_transcript_is_read(tmp_path: Path) -> None:
    written = [
        segment("CHN", "PT1S", "PT2S", inside="more  <w>juice</w>"),
        segment("FAN", "PT2S", "PT3S", 'text="yes"'),
    ]
    bad = segment("FAN", "soon", "PT3S", inside="later")
    document = _parse(tmp_path / "a.its", its(*written, bad))
    assert [(s.text, s.start_s, s.end_s, s.age_years) for s in document.segments] == [
        ("more juice", 1.0, 2.0, 1.75),
        ("yes", 2.0, 3.0, None),
    ]
    assert [problem.reason for problem in document.problems] == ["bad times"]


@pytest.mark.parametrize(
    ("child", "age_years", "gender"),
    [
        ('<ChildInfo algorithmAge="P33M" gender="F"/>', 2.75, "f"),
        ('<ChildInfo age="18"/>', 1.5, None),
        ('<PrimaryChild ChildKey="9" DOB="2015-09-25" Gender="F"/>', 2.0, "f"),
        ('<Child DOB="2015-09-25"/><ChildInfo chronologicalAge="P1Y6M"/>', 1.5, None),
        ('<ChildInfo dob="2018-01-01"/>', None, None),
        ('<ChildInfo dob="0000-00-00" age="P9999M" gender=""/>', None, None),
        ("", None, None),
    ],
)
def test_what_is_known_of_the_child(child: str, age_years: float | None, gender: str | None, tmp_path: Path) -> None:
    (found,) = _lost(_parse(tmp_path / "a.its", its(DAY[1], child=child)))
    assert found.age_years == (None if age_years is None else pytest.approx(age_years, abs=0.01))
    assert found.gender == gender


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (its(*DAY, head='<!DOCTYPE ITS [<!ENTITY a "b">]>'), "forbidden XML"),
        (its(*DAY)[:-9], "damaged XML"),
        ('<its:rules xmlns:its="http://www.w3.org/2005/11/its" version="1.0"/>', "another kind of XML"),
    ],
)
def test_what_cannot_be_read_says_why(text: str, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "a.its"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(Unreadable) as raised:
        lena.parse(path, "a.its", CorpusRecipe())
    assert raised.value.reason == reason


def test_other_its_files_are_not_recognised(tmp_path: Path) -> None:
    (tmp_path / "a.its").write_text('<its:rules xmlns:its="http://www.w3.org/2005/11/its"/>', encoding="utf-8")
    assert not lena.READER.recognises(head_of(tmp_path / "a.its"))


def test_damage_never_breaks_the_reader(tmp_path: Path) -> None:
    check_damage(lena.READER, its(*DAY).encode(), tmp_path)
