from __future__ import annotations

import datetime
import io
import re
import zipfile
from pathlib import Path

import openpyxl
import pytest
from hypothesis import given
from tests.corpus.transcripts.damage import damage, mutated, survives

from smallvoice.corpus.transcripts import spreadsheet
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.corpus.transcripts.spreadsheet import READER
from smallvoice.recipe import CorpusRecipe

HEADER = ["File", "Text", "Start", "End", "Age", "Speaker"]


def workbook(**sheets: list[list[object]]) -> bytes:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for name, rows in sheets.items():
        sheet = book.create_sheet(name)
        for row in rows:
            sheet.append(row)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def with_shared_strings(data: bytes) -> bytes:
    """The texts of cells in a part of their own, as Excel writes them."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        parts = {name: archive.read(name).decode() for name in archive.namelist()}
    sheet = parts["xl/worksheets/sheet1.xml"]
    texts = re.findall(r"<is>(<t>[^<]*</t>)</is>", sheet)
    for number, text in enumerate(texts):
        sheet = sheet.replace(f't="inlineStr"><is>{text}</is>', f't="s"><v>{number}</v>', 1)
    namespace = 'xmlns="http://schemas.openxmlformats.org/spreadsheetml/2006/main"'
    kind = "application/vnd.openxmlformats-officedocument.spreadsheetml.sharedStrings+xml"
    parts["xl/worksheets/sheet1.xml"] = sheet
    parts["xl/sharedStrings.xml"] = f"<sst {namespace}>{''.join(f'<si>{text}</si>' for text in texts)}</sst>"
    parts["[Content_Types].xml"] = parts["[Content_Types].xml"].replace(
        "</Types>", f'<Override PartName="/xl/sharedStrings.xml" ContentType="{kind}"/></Types>'
    )
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    return out.getvalue()


VALID = workbook(data=[HEADER, ["a.wav", "hello", 0, 1.5, 6, 12], ["b.wav", "zwei Wörter", 1.5, 2.25, None, "CHI"]])


def read(tmp_path: Path, data: bytes, **asked: str) -> Document:
    path = tmp_path / "a.xlsx"
    path.write_bytes(data)
    return READER.parse(path, "a.xlsx", CorpusRecipe(columns=asked))


def replaced(data: bytes, part: str, old: str, new: str) -> bytes:
    """A spreadsheet with something else in one of its parts."""
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as archive, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as changed:
        for name in archive.namelist():
            content = archive.read(name).decode()
            if name == part:
                assert old in content
                content = content.replace(old, new, 1)
            changed.writestr(name, content)
    return out.getvalue()


@pytest.mark.parametrize("data", [VALID, with_shared_strings(VALID)], ids=["inline", "shared"])
def test_round_trip(tmp_path: Path, data: bytes) -> None:
    document = read(tmp_path, data)
    found = [(s.where, s.recording, s.text, s.start_s, s.end_s, s.age_years, s.speaker) for s in document.segments]
    assert found == [
        ("a.xlsx:2", "a.wav", "hello", 0, 1.5, 6, "12"),
        ("a.xlsx:3", "b.wav", "zwei Wörter", 1.5, 2.25, None, "a.xlsx/b.wav:CHI"),
    ]
    assert not document.problems and not document.notes


def test_the_sheet_with_a_header_is_read(tmp_path: Path) -> None:
    speakers: list[list[object]] = [["name", "age_years"], ["Ann", 6]]
    rows: list[list[object]] = [[], [], ["file", "text"], ["a.wav", "one"], [], [None, "two"], ["c.wav", 5, "more"]]
    document = read(tmp_path, workbook(Kinder=speakers, Sätze=rows, empty=[]))
    assert [(s.where, s.text, s.extra) for s in document.segments] == [
        ("a.xlsx:4", "one", {}),
        ("a.xlsx:7", "5", {"column 3": "more"}),
    ]
    assert [(problem.where, problem.reason) for problem in document.problems] == [("a.xlsx:6", "no audio named")]
    assert document.notes == ("of 2 sheets 'Sätze' is read, not Kinder.",)
    asked = read(
        tmp_path,
        workbook(x=[["file", "text"], ["a", "b"]], y=[["Datei", "Satz"], ["c", "d"]]),
        text="Satz",
        audio="Datei",
    )
    assert [segment.text for segment in asked.segments] == ["d"]
    by_number = read(tmp_path, workbook(x=[["a.wav", "one"], ["b.wav", "two"]]), audio="1", text="2")
    assert [segment.where for segment in by_number.segments] == ["a.xlsx:1", "a.xlsx:2"]


def test_a_header_may_stand_below_a_title(tmp_path: Path) -> None:
    titled: list[list[object]] = [
        ["Recordings of 3b"],
        ["school", 7],
        [],
        HEADER[:2],
        ["a.wav", "one"],
        ["b.wav", "two"],
    ]
    path = tmp_path / "a.xlsx"
    path.write_bytes(workbook(data=titled))
    assert READER.recognises(head_of(path))
    document = read(tmp_path, workbook(data=titled))
    assert [(segment.where, segment.text) for segment in document.segments] == [
        ("a.xlsx:5", "one"),
        ("a.xlsx:6", "two"),
    ]
    assert not document.problems and document.notes == ("its header is in row 4; what stands above it is not read.",)
    german: list[list[object]] = [["Klasse 3b"], ["Datei", "Satz"], ["a.wav", "eins"]]
    (segment,) = read(tmp_path, workbook(data=german), text="Satz", audio="Datei").segments
    assert segment.text == "eins"
    shouted: list[list[object]] = [["Klasse 3b"], ["DATEI", "SATZ"], ["a.wav", "eins"]]
    assert [one.text for one in read(tmp_path, workbook(data=shouted), text="Satz", audio="Datei").segments] == ["eins"]
    bare: list[list[object]] = [[f"k{number}.wav", "the dog", number, 2] for number in range(4)]
    assert len(read(tmp_path, workbook(data=bare), audio="1", text="2").segments) == 4, "numbers in cells are no names"
    both = read(tmp_path, workbook(data=titled, more=titled))
    assert [problem.where for problem in both.problems] == ["a.xlsx#more:5", "a.xlsx#more:6"]


def test_times_as_excel_has_them(tmp_path: Path) -> None:
    rows: list[list[object]] = [HEADER, ["a.wav", "x", datetime.time(0, 1, 2, 500_000), datetime.timedelta(seconds=63)]]
    (segment,) = read(tmp_path, workbook(data=rows)).segments
    assert (segment.start_s, segment.end_s) == (62.5, 63)


def test_formulas_have_their_saved_value(tmp_path: Path) -> None:
    data = replaced(VALID, "xl/worksheets/sheet1.xml", "<v>1.5</v>", "<f>1+0.5</f><v>1.5</v>")
    assert read(tmp_path, data).segments[0].end_s == 1.5


@pytest.mark.parametrize(
    ("declaration", "encoding"),
    [('<!DOCTYPE x [<!ENTITY a "b">]>', "utf-8"), ('<!DOCTYPE x SYSTEM "file:///etc/passwd">', "utf-16")],
)
def test_entities_are_refused(tmp_path: Path, declaration: str, encoding: str) -> None:
    out = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(VALID)) as archive, zipfile.ZipFile(out, "w") as changed:
        for name in archive.namelist():
            content = archive.read(name)
            if name == "xl/workbook.xml":
                content = (declaration + content.decode()).encode(encoding)
            changed.writestr(name, content)
    with pytest.raises(Unreadable, match="entity declaration"):
        read(tmp_path, out.getvalue())


def test_bombs_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spaces = replaced(VALID, "xl/worksheets/sheet1.xml", "<sheetData>", "<sheetData>" + " " * 3_000_000)
    with pytest.raises(Unreadable, match="unpacks to too much"):
        read(tmp_path, spaces)
    monkeypatch.setattr(spreadsheet, "MAX_BYTES", 5000)
    with pytest.raises(Unreadable, match="unpacks to too much"):
        read(tmp_path, VALID)


@pytest.mark.parametrize(("old", "new"), [('<row r="3">', '<row r="2000000000">'), ('<c r="F3"', '<c r="ZZZ3"')])
def test_places_that_no_sheet_has(tmp_path: Path, old: str, new: str) -> None:
    with pytest.raises(Unreadable, match="damaged spreadsheet"):
        read(tmp_path, replaced(VALID, "xl/worksheets/sheet1.xml", old, new))


def test_claimed_size_is_not_believed(tmp_path: Path) -> None:
    data = replaced(VALID, "xl/worksheets/sheet1.xml", 'ref="A1:F3"', 'ref="A1:XFD1048576"')
    assert len(read(tmp_path, data).segments) == 2


def test_recognition(tmp_path: Path) -> None:
    speakers: list[list[object]] = [["name", "age_years", "gender", "role"], ["Ann", 6, "f", "child"]]
    for name, data, expected in (
        ("a.xlsx", VALID, True),
        ("speakers.xlsx", workbook(x=speakers), False),
        ("a.zip", VALID, False),
        ("cut.xlsx", VALID[:500], False),
        ("text.xlsx", b"file,text\n", False),
    ):
        (tmp_path / name).write_bytes(data)
        assert READER.recognises(head_of(tmp_path / name)) is expected


def test_damaged_parts(tmp_path: Path) -> None:
    with zipfile.ZipFile(io.BytesIO(with_shared_strings(VALID))) as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}

    @damage
    @given(sheet=mutated(contents["xl/worksheets/sheet1.xml"]), strings=mutated(contents["xl/sharedStrings.xml"]))
    def check(sheet: bytes, strings: bytes) -> None:
        changed = {"xl/worksheets/sheet1.xml": sheet} if len(sheet) % 2 else {"xl/sharedStrings.xml": strings}
        out = io.BytesIO()
        with zipfile.ZipFile(out, "w") as archive:
            for name, content in (contents | changed).items():
                archive.writestr(name, content)
        path = tmp_path / "a.xlsx"
        path.write_bytes(out.getvalue())
        try:
            assert isinstance(READER.parse(path, "a.xlsx", CorpusRecipe()), Document)
        except Unreadable as error:
            assert error.detail

    check()


@damage
@given(data=mutated(VALID))
def test_damaged_zip(tmp_path: Path, data: bytes) -> None:
    survives(READER, tmp_path / "a.xlsx", data)


def test_a_sheet_that_could_be_read_too_is_not_lost_in_silence(tmp_path: Path) -> None:
    rows: list[list[object]] = [["file", "text"], ["a.wav", "one"], ["b.wav", "#N/A"]]
    document = read(tmp_path, workbook(first=rows, second=rows, notes=[["nothing"]]))
    assert [segment.text for segment in document.segments] == ["one", ""], "a formula that failed is no text"
    found = [(problem.where, problem.reason) for problem in document.problems]
    assert found == [("a.xlsx#second:2", "sheet not read"), ("a.xlsx#second:3", "sheet not read")]


def test_minutes_and_seconds_that_the_sheet_takes_for_hours(tmp_path: Path) -> None:
    header: list[object] = ["file", "start", "end", "text"]
    typed: list[object] = ["a.wav", datetime.time(1, 30), datetime.time(1, 32), "x"]
    late: list[object] = ["a.wav", datetime.time(2, 5), datetime.timedelta(hours=25, minutes=10), "y"]
    document = read(tmp_path, workbook(data=[header, typed, late, ["a.wav", 7.5, None, "z"]]))
    assert [(s.start_s, s.end_s) for s in document.segments] == [(90, 92), (125, 1510), (7.5, None)]
    assert any("1 minute 30 seconds" in note for note in document.notes)


def test_clock_times_with_seconds_are_what_they_say(tmp_path: Path) -> None:
    header: list[object] = ["file", "start", "end", "text"]
    rows: list[list[object]] = [["a.wav", datetime.time(0, 1, 30), datetime.time(0, 2), "x"]]
    document = read(tmp_path, workbook(data=[header, *rows]))
    assert [(s.start_s, s.end_s) for s in document.segments] == [(90, 120)] and document.notes == ()


def test_a_clock_time_beside_a_number_of_seconds_is_what_it_says(tmp_path: Path) -> None:
    header: list[object] = ["file", "start", "duration", "text"]
    document = read(tmp_path, workbook(data=[header, ["a.wav", datetime.time(0, 5), 4, "x"]]))
    assert [(s.start_s, s.end_s) for s in document.segments] == [(300, 304)] and document.notes == ()
