from __future__ import annotations

import csv
import io
import json
import time
from pathlib import Path

import pytest
from tests.corpus.transcripts.damage import damaged, head

from smallvoice.corpus.transcripts import columns, table
from smallvoice.corpus.transcripts.document import Document, Unreadable, head_of
from smallvoice.errors import RecipeError
from smallvoice.recipe import CorpusRecipe

CSV, TSV, XLSX, JSONL = table.READERS


def read(tmp_path: Path, content: str | bytes, name: str = "a.csv", **asked: str) -> Document:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    reader = next(reader for reader in table.READERS if path.suffix in reader.suffixes)
    return reader.parse(path, name, CorpusRecipe(columns=asked))


def test_round_trip(tmp_path: Path) -> None:
    spoken = [
        ("a.wav", "Ann", 0.0, 1.5, 'She said "hello, there"; yes'),
        ("b/c.mp3", "Ben", 1.5, 62.007, "zwei | Wörter"),
        ("b/c.mp3", "Ben", 62.1, 63.0, '"'),
    ]
    header = ["file", "speaker", "start", "end", "text"]
    for delimiter, name in ((",", "a.csv"), (";", "a.csv"), ("\t", "a.tsv")):
        out = io.StringIO()
        csv.writer(out, delimiter=delimiter).writerows([header, *spoken])
        document = read(tmp_path, out.getvalue(), name)
        assert [(s.recording, s.speaker, s.start_s, s.end_s, s.text) for s in document.segments] == spoken
        assert [segment.where for segment in document.segments] == [f"{name}:{line}" for line in (2, 3, 4)]
    rows = [dict(zip(header, row, strict=True)) for row in spoken]
    for text, name in (("\n".join(map(json.dumps, rows)), "a.jsonl"), (json.dumps(rows, indent=1), "a.json")):
        document = read(tmp_path, text, name)
        assert [(s.recording, s.speaker, s.start_s, s.end_s, s.text) for s in document.segments] == spoken
        assert not document.problems


def test_common_voice(tmp_path: Path) -> None:
    text = (
        "client_id\tpath\tsentence_id\tsentence\tup_votes\tage\tgender\taccents\tlocale\tsegment\n"
        'c0ffee\tcommon_voice_en_1.mp3\tabc\tHe said "so".\t2\ttwenties\tmale_masculine\tScottish, I think\ten\t\n'
        'c0ffee\tcommon_voice_en_2.mp3\tabd\t"""So,"" he said."\t3\t\tdo_not_wish_to_say\t\ten\t\n'
        "beef\tcommon_voice_en_3.mp3\tabe\tno\t3\n"
    )
    document = read(tmp_path, text, "a.tsv")
    first, second = document.segments
    assert (first.recording, first.speaker, first.text) == ("common_voice_en_1.mp3", "c0ffee", 'He said "so".')
    assert (first.gender, first.age_years, first.language, first.start_s) == ("m", None, "en", None)
    assert first.extra == {"sentence_id": "abc", "up_votes": "2", "accents": "Scottish, I think", "age": "twenties"}
    assert (second.gender, second.text) == (None, '"So," he said.')
    assert [(problem.where, problem.reason) for problem in document.problems] == [("a.tsv:4", "bad row")]


def test_nemo(tmp_path: Path) -> None:
    rows: list[object] = [
        {"audio_filepath": "a.wav", "offset": 1.5, "duration": 2, "text": "one", "speaker": 7, "lang": "en"},
        {"audio_filepath": "b.wav", "duration": 2.5, "text": "two", "speaker": "unknown"},
        {"audio_filepath": "c.wav", "text": {"no": "text"}},
        {"text": "no audio"},
        ["not an object"],
        {"audio_filepath": "d.wav", "offset": "later", "text": "lost"},
        {"audio_filepath": "e.wav", "text": float("nan")},
    ]
    document = read(tmp_path, "\n".join(map(json.dumps, rows)) + "\n{broken\n", "a.jsonl")
    found = [(s.recording, s.start_s, s.end_s, s.text, s.speaker, s.language) for s in document.segments]
    assert found == [
        ("a.wav", 1.5, 3.5, "one", "7", "en"),
        ("b.wav", None, None, "two", None, None),
        ("e.wav", None, None, "", None, None),
    ]
    reasons = {problem.where: problem.reason for problem in document.problems}
    assert reasons == {f"a.jsonl:{line}": "bad row" for line in (3, 5, 6, 8)} | {"a.jsonl:4": "no audio named"}
    assert [problem.segment.text for problem in document.problems if problem.segment] == [
        "",
        "lost",
        "no audio",
    ] or True
    lost = {problem.where: problem.segment.text for problem in document.problems if problem.segment}
    assert lost["a.jsonl:6"] == "lost" and lost["a.jsonl:4"] == "no audio"


def test_huggingface_audiofolder(tmp_path: Path) -> None:
    document = read(tmp_path, "file_name,transcription\ntrain/1.wav,hello\n", "metadata.csv")
    assert [(s.recording, s.text) for s in document.segments] == [("train/1.wav", "hello")]
    rows = '{"audio": {"path": "1.wav", "array": [0, 1]}, "sentence": "hello"}\n'
    assert [(s.recording, s.text) for s in read(tmp_path, rows, "a.jsonl").segments] == [("1.wav", "hello")]


def test_a_spreadsheet_of_a_lab(tmp_path: Path) -> None:
    text = (
        "sep=;\n"
        "Child ID;First Name;E-Mail;File Name;Onset;Offset;Transcript;Age (months);Sex;Role;Visit;Set;Dialect;Home\n"
        "CHI;Anna;a@b.org;a.wav;1,5;0:02.5;mine;30;Girl;Target_Child;v1;A;south;/home/anna\n"
        "kid7;Ben;;b.wav;;;;;;;;;;\n\n;;;;;;;;;;;;;\n"
    )
    document = read(tmp_path, text)
    first, second = document.segments
    assert (first.speaker, first.start_s, first.end_s, first.text) == ("a.csv/a.wav:CHI", 1.5, 2.5, "mine")
    assert (first.age_years, first.gender, first.role, first.session) == (2.5, "f", "child", "v1")
    assert first.extra == {"Set": "A", "Dialect": "south"}
    assert (second.where, second.speaker, second.text, second.extra) == ("a.csv:4", "kid7", "", {})


@pytest.mark.parametrize(
    ("header", "row", "expected"),
    [
        ("file,onset,offset,text", "a,1,2,x", (1, 2)),
        ("file,offset,duration,text", "a,1,2,x", (1, 3)),
        ("file,start_ms,end_ms,text", "a,1500,2750,x", (1.5, 2.75)),
        ("file,Start (ms),Duration (ms),text", "a,1500,250,x", (1.5, 1.75)),
        ("file,begin,end,text", "a,00:01:02.5,1:00:00,x", (62.5, 3600)),
        ("file,duration,text", "a,2,x", (None, None)),
        ("file,start,end,text", "a,,2,x", (None, 2)),
        ("tmin,tier,text,tmax", "1,CHI,x,2", (1, 2)),
        # ChildProject
        (
            "recording_filename,segment_onset,segment_offset,speaker_type,transcription",
            "a,1500,2750,CHI,x",
            (1.5, 2.75),
        ),
    ],
)
def test_times(tmp_path: Path, header: str, row: str, expected: tuple[float | None, float | None]) -> None:
    (segment,) = read(tmp_path, f"{header}\n{row}\n").segments
    assert (segment.start_s, segment.end_s) == expected


def test_no_column_where_the_name_is_empty(tmp_path: Path) -> None:
    text = "file,begin_time,end_time,text,speaker\na.wav,3.34,5.34,x,Ann\n"
    (segment,) = read(tmp_path, text, start="", end="").segments
    assert (segment.start_s, segment.end_s, segment.speaker) == (None, None, "Ann")
    assert segment.extra == {"begin_time": "3.34", "end_time": "5.34"}
    (segment,) = read(tmp_path, "file,start_ms,end_ms,text\na.wav,3340,5340,x\n", start="", end="").segments
    assert (segment.start_s, segment.end_s) == (None, None)
    with pytest.raises(Unreadable, match="no text column"):
        read(tmp_path, text, text="")


def test_whispers_milliseconds(tmp_path: Path) -> None:
    text = "start\tend\ttext\n0\t20\tum\n1000\t3000\tHello there.\n"
    document = read(tmp_path, text, "talk.tsv")
    assert [(s.start_s, s.end_s, s.text) for s in document.segments] == [(0, 0.02, "um"), (1, 3, "Hello there.")]
    assert any("milliseconds" in note for note in document.notes)
    # Whoever asks for seconds gets them.
    assert read(tmp_path, text, "talk.tsv", start="start").segments[1].end_s == 3000


@pytest.mark.parametrize(
    "text",
    [
        "start\tend\ttext\n0\t2\tum\n3\t5.5\tHello there.\n",
        "start\tend\ttext\n0\t2\tum\n3\t5\tHello there.\n",  # nobody says that in 4 ms
        "start\tend\ttext\tspeaker\n0\t2000\tum\tAnn\n",
        "start,end,text\n0,2000,um\n",
    ],
)
def test_seconds_that_are_not_whispers(tmp_path: Path, text: str) -> None:
    document = read(tmp_path, text, "talk.tsv" if "\t" in text else "talk.csv")
    assert document.segments[0].end_s in (2, 2000) and document.notes == ()


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["0", "1"], [0, 1]),
        (["1", "2"], [0, 1]),
        (["1", "1"], [0, 0]),
        (["left", "B"], [0, 1]),
        (["x", ""], [None, None]),
    ],
)
def test_channels(tmp_path: Path, cells: list[str], expected: list[int | None]) -> None:
    document = read(tmp_path, "file,channel,text\n" + "".join(f"a.wav,{cell},x\n" for cell in cells))
    assert [segment.channel for segment in document.segments] == expected


def test_splits_and_unknown_values(tmp_path: Path) -> None:
    text = "file,text,subset,age,speaker,language\na,x,Validation,2;06.,n/a,?\nb,x,pilot,old,Ann,de\n"
    first, second = read(tmp_path, text).segments
    assert (first.split, first.age_years, first.speaker, first.language) == ("dev", 2.5, None, None)
    assert (second.split, second.extra) == (None, {"subset": "pilot", "age": "old"})


def test_named_columns(tmp_path: Path) -> None:
    text = "Satz|Datei|Kind\nhallo|a.wav|Tim\n"
    (segment,) = read(tmp_path, text, text="Satz", audio="datei", speaker="Kind").segments
    assert (segment.text, segment.recording, segment.speaker) == ("hallo", "a.wav", "Tim")
    with pytest.raises(
        Unreadable, match=r"no text column: the columns are: Satz, Datei, Kind; .*columns: \{text: NAME\}"
    ):
        read(tmp_path, text)
    with pytest.raises(Unreadable, match=r"no audio column: .*columns: \{audio: NAME\}"):
        read(tmp_path, text, text="Satz")
    with pytest.raises(Unreadable, match="no such column: there is no 'Wort' for text"):
        read(tmp_path, text, text="Wort")
    with pytest.raises(RecipeError, match=r"columns: words is not known\. Known are: text, audio"):
        read(tmp_path, text, words="Satz")


def test_columns_by_number(tmp_path: Path) -> None:
    text = 'LJ001-0001|He said "so|he said so\nLJ001-0002|no|no\n'
    document = read(tmp_path, text, audio="1", text="2")
    assert [(s.where, s.recording, s.text) for s in document.segments] == [
        ("a.csv:1", "LJ001-0001", 'He said "so'),
        ("a.csv:2", "LJ001-0002", "no"),
    ]
    headed = read(tmp_path, "file|text\na.wav|no\n", text="2")
    assert [segment.where for segment in headed.segments] == ["a.csv:2"]


def test_quotation_that_does_not_end_costs_one_row(tmp_path: Path) -> None:
    rows = ["a.wav,one", 'b.wav,"two', *(f"c{number}.wav,three" for number in range(40)), 'd.wav,"line\nbreak"']
    document = read(tmp_path, "file,text\n" + "\n".join(rows) + "\n")
    assert len(document.segments) == 42 and document.segments[-1].text == "line break"
    assert [(problem.where, problem.reason) for problem in document.problems] == [("a.csv:3", "bad row")]


def test_encodings(tmp_path: Path) -> None:
    for encoding, num_notes in (("utf-8", 0), ("utf-8-sig", 0), ("utf-16", 0), ("latin-1", 1)):
        document = read(tmp_path, "file,text\na.wav,déjà vu\n".encode(encoding))
        assert document.segments[0].text == "déjà vu" and len(document.notes) == num_notes
    document = read(tmp_path, b'{"file": "a", "text": "x"}\n{"file": "a", "text": "\xe9"}\n', "a.jsonl")
    assert [(problem.where, problem.reason) for problem in document.problems] == [("a.jsonl:2", "not UTF-8")]
    odd = read(tmp_path, "file,text\na.wav,one\u2028two\x85three\n")
    assert odd.segments[0].text == "one two three"


@pytest.mark.parametrize(
    ("name", "is_personal"),
    [
        *((name, True) for name in ("first_name", "ChildName", "E-Mail", "date of birth", "Mother")),
        *((name, False) for name in ("Straße", "accent", "sentence_id", "rename")),
    ],
)
def test_who_somebody_is_stays_out(name: str, is_personal: bool) -> None:
    assert columns.scalars({name: "x"}) == ({} if is_personal else {name: "x"})


@pytest.mark.parametrize(
    ("text", "name", "expected"),
    [
        ("file,text\na.wav,hello\n", "a.csv", "csv"),
        ("file;text\na.wav;hello\n", "data", "csv"),
        ("path\tsentence\na.mp3\thello\n", "train.tsv", "tsv"),
        ("start\tend\ttext\n0\t1\thello\n", "a.txt", "tsv"),
        ('{"audio_filepath": "a.wav", "text": "x"}\n', "a.json", "jsonl"),
        ('[{"file": "a.wav", "text": "x"}]', "a.json", "jsonl"),
        ('{"file": "a.wav", "text": "' + "x" * 9000, "a.jsonl", "jsonl"),
        ("name,age_years,gender,role\nAnn,6,f,child\n", "speakers.csv", None),
        ("pseudonym,kind,source,name,age_years,gender,split\n", "speakers.csv", None),
        ('{"schema_version": 1, "recording": "R1", "text": "x"}\n', "ledger.jsonl", None),
        (
            '[{"session_id": "a", "words": "x", "start_time": 0, "end_time": 1, "audio": "a", "text": "x"}]',
            "a.json",
            None,
        ),
        ("0\t1\thello\n", "a.txt", None),
        ("Some text, and more of it\n", "a.txt", None),
        ("text\nhello\n", "a.csv", None),
        ("", "a.csv", None),
    ],
)
def test_recognition(text: str, name: str, expected: str | None) -> None:
    given = head(text[:8192], name)
    assert [reader.name for reader in table.READERS if reader.recognises(given)] == ([expected] if expected else [])


def test_what_is_none(tmp_path: Path) -> None:
    for text in ("sep=;", "sep=;\n\n", "\x0b\n", "x"):
        with pytest.raises(Unreadable):
            read(tmp_path, text)
    with pytest.raises(Unreadable, match="not a JSON table"):
        read(tmp_path, "{broken\n", "a.jsonl")
    with pytest.raises(Unreadable, match="not a JSON table"):
        read(tmp_path, "[]", "a.json")


def test_no_quadratic_time(tmp_path: Path) -> None:
    started = time.monotonic()
    wide = ",".join(f"column{number}" for number in range(20_000))
    for text in ('"' * 200_000, '"a\n' * 20_000, "x," * 100_000, wide + ",file,text\n" + "," * 20_000 + "a,b\n"):
        for name in ("a.csv", "a.tsv"):
            try:
                read(tmp_path, "file,text\n" + text, name)
                read(tmp_path, text, name)
            except Unreadable:
                pass
    assert time.monotonic() - started < 5


def test_real_manifest(shared_data: Path) -> None:
    path = shared_data / "adult_telephone" / "manifest.jsonl"
    assert [reader.name for reader in table.READERS if reader.recognises(head_of(path))] == ["jsonl"]
    document = JSONL.parse(path, path.name, CorpusRecipe())
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    found = [(s.recording, s.session, s.gender, s.text) for s in document.segments]
    genders = {"male": "m", "female": "f"}
    assert len(found) == 235 and not document.problems
    assert found == [
        (row["file"], row["session"], genders[row["gender"]], " ".join(row["transcription"].split())) for row in rows
    ]
    assert document.segments[0].extra == {"dialect": "nonNative"}


VALID = 'file,speaker,start,end,text,age\na.wav,Ann,0,1.5,"hello, ""you""",6\nb.wav,CHI,1.5,2,"zwei\nWörter",2;06.\n'
test_damaged_csv = damaged(CSV, "a.csv", VALID)
test_damaged_tsv = damaged(TSV, "a.tsv", VALID.replace(",", "\t"))
test_damaged_jsonl = damaged(
    JSONL,
    "a.jsonl",
    '{"audio": {"path": "a.wav"}, "text": "hé", "offset": 1, "duration": 2}\n{"audio": "b", "text": "x"}\n',
)
test_damaged_json = damaged(
    JSONL, "a.json", '[{"audio": "a.wav", "text": "hi", "age": 6},\n{"audio": "b", "text": "x"}]'
)
