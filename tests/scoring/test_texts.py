"""`smallvoice score`: files of other recognisers, paired and scored."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from smallvoice import cli, judging
from smallvoice.errors import InputError
from smallvoice.scoring import texts
from smallvoice.scoring.scores import score

FILES = {
    "kaldi": ("ref", "u1 THE SMALL VOICE\nu2 {A / THE} BOY\n", "hyp", "u2 the boy\nu1 the small noise\n"),
    "lines": ("ref.txt", "THE SMALL VOICE\n{A / THE} BOY\n", "hyp.txt", "the small noise\nthe boy\n"),
    "tsv": (
        "ref.tsv",
        "id\ttext\nu1\tTHE SMALL VOICE\nu2\t{ A / THE } BOY\n",
        "hyp.tsv",
        "u1\tthe small noise\nu2\tthe boy\n",
    ),
    "csv": (
        "ref.csv",
        'id,text\nu1,THE SMALL VOICE\nu2,"{ A / THE } BOY"\n',
        "hyp.csv",
        "u1,the small noise\nu2,the boy\n",
    ),
    "trn": (
        "ref.trn",
        "THE SMALL VOICE (u1)\n{ A / THE } BOY (u2)\n",
        "hyp.trn",
        "the boy (u2)\nthe small noise (u1)\n",
    ),
    "jsonl": (
        "ref.jsonl",
        '{"id": "u1", "reference": "THE SMALL VOICE"}\n{"id": "u2", "text": "{ A / THE } BOY"}\n',
        "hyp.jsonl",
        '{"utt_id": "u1", "hypothesis": "the small noise"}\n\n{"key": "u2", "pred_text": "the boy"}\n',
    ),
    "stm and ctm": (
        "ref.stm",
        ";; a comment\nr1 1 Ann 0 2 THE SMALL VOICE\nr2 1 Ben 0 2 { A / THE } BOY\n",
        "hyp.ctm",
        "r1 1 0.1 0.2 the\nr1 1 0.4 0.2 small\nr1 1 0.7 0.2 noise\nr2 1 0.1 0.2 the\nr2 1 0.4 0.2 boy\n",
    ),
    "seglst": (
        "ref.json",
        json.dumps(
            [
                {"session_id": "r", "speaker": "Ann", "start_time": 1, "end_time": 2, "words": "VOICE"},
                {"session_id": "r", "speaker": "Ann", "start_time": 0, "end_time": 1, "words": "THE SMALL"},
                {"session_id": "r", "speaker": "Ben", "start_time": 2, "end_time": 3, "words": "{ A / THE } BOY"},
            ]
        ),
        "hyp.json",
        json.dumps(
            [
                {"session_id": "r", "speaker": "Ann", "start_time": 0, "end_time": 2, "words": "the small noise"},
                {"session_id": "r", "speaker": "Ben", "start_time": 2, "end_time": 3, "words": "the boy"},
            ]
        ),
    ),
}


def write(folder: Path, name: str) -> tuple[Path, Path]:
    reference, said, hypothesis, heard = FILES[name]
    (folder / reference).write_text(said.replace("{A / THE}", "{ A / THE }"), encoding="utf-8")
    (folder / hypothesis).write_text(heard, encoding="utf-8")
    return folder / reference, folder / hypothesis


@pytest.mark.parametrize("name", FILES)
def test_every_form_gives_the_same_scores(tmp_path: Path, name: str) -> None:
    paired = texts.pair(*write(tmp_path, name))
    assert not paired.missing and len(paired.rows) == 2
    counted = score(paired.rows)["wer"]["lower_cased"]
    assert (counted["words"], counted["errors"]) == (5, 1)


def test_a_reference_without_hypothesis_is_deleted_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reference, hypothesis = write(tmp_path, "trn")
    hypothesis.write_text("the boy (u2)\n", encoding="utf-8")
    scores = judging.score(reference, hypothesis)
    assert scores["wer"]["lower_cased"]["deletions"] == 3
    assert "1 reference without a hypothesis, counted as deleted: u1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("name", "said", "heard", "problem"),
    [
        ("trn", None, "the boy (u2)\nthe boy (u3)\n", "1 id not in"),
        ("trn", None, "the boy (u2)\nthe boy (u2)\n", "1 id given more than once: u2"),
        ("trn", None, "the boy\n", "hyp.trn:1: expected a text and its id in parentheses"),
        ("trn", "", None, "no texts in it"),
        ("lines", None, "one\n", "has 2 lines and"),
        ("jsonl", None, "[]\n", "hyp.jsonl:1: not a JSON object"),
        ("jsonl", None, '{"id": "u1"}\n', "hyp.jsonl:1: expected an id"),
        ("stm and ctm", "r1 1 Ann zero 2 HI\n", None, "not STM: none of 1 lines"),
        ("seglst", "{}", None, "not a JSON list"),
    ],
)
def test_what_cannot_be_scored_is_said(
    tmp_path: Path, name: str, said: str | None, heard: str | None, problem: str
) -> None:
    reference, hypothesis = write(tmp_path, name)
    if said is not None:
        reference.write_text(said, encoding="utf-8")
    if heard is not None:
        hypothesis.write_text(heard, encoding="utf-8")
    with pytest.raises(InputError, match=problem.replace("(", r"\(")):
        texts.pair(reference, hypothesis)


def test_timed_and_untimed_files_do_not_go_together(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has times and"):
        texts.pair(write(tmp_path, "stm and ctm")[0], write(tmp_path, "trn")[1])
    with pytest.raises(InputError, match="no such file"):
        texts.pair(tmp_path / "absent", tmp_path / "absent")


def test_examples_of_meeteval(shared_data: Path) -> None:
    folder = shared_data / "scoring" / "meeteval"
    if not folder.is_dir():
        pytest.skip("no scoring data")
    for reference, hypothesis in (
        ("text_ref", "text_hyp"),
        ("ref.stm", "hyp.stm"),
        ("refA.stm", "hypA.stm"),
        ("refB.stm", "hypB.stm"),
        ("ref_siso.stm", "hyp_siso.stm"),
        ("ref.seglst.json", "hyp.seglst.json"),
        ("ref.stm", "hyp1.ctm"),
    ):
        paired = texts.pair(folder / reference, folder / hypothesis)
        found = score(paired.rows)["wer"]["raw"]
        assert not paired.missing and found["words"] > 20 and found["wer"] is not None and found["wer"] < 0.8, reference
    rows = texts.pair(folder / "text_ref", folder / "text_hyp").rows
    assert score(rows)["wer"]["raw"]["errors"] == 9


def test_the_command_prints_json_and_a_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = [str(path) for path in write(tmp_path, "kaldi")]
    with pytest.raises(SystemExit, match="0"):
        cli.main(["score", *paths, "--json"])
    shown = capsys.readouterr()
    assert json.loads(shown.out)["wer"]["lower_cased"]["errors"] == 1
    assert "child, spellings alike" in shown.err


def processor_s(*arguments: str) -> float:
    """Of this Python with these arguments, the least of four runs: a machine that does other work has no wall clock."""
    times = []
    for _ in range(4):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        times.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return min(times)


def test_a_hundred_lines_take_half_a_second(tmp_path: Path) -> None:
    """Of a whole process, warm. Processors differ by more than two, so its time is counted in starts of Python with
    modules of its own, beside it: it takes five of them, and importing torch alone fifteen.
    """
    lines = [f"u{number} the small voice said {number} words isn't it" for number in range(100)]
    for name in ("ref", "hyp"):
        (tmp_path / name).write_text("\n".join(lines), encoding="utf-8")
    own = "import asyncio, email.message, http.client, logging.handlers, multiprocessing.pool, sqlite3, unittest.mock"
    taken = processor_s("-m", "smallvoice", "score", str(tmp_path / "ref"), str(tmp_path / "hyp"), "--json")
    assert taken < 8 * processor_s("-c", own)


def write_both(folder: Path, said: str, heard: str, suffix: str = "") -> tuple[Path, Path]:
    paths = folder / f"ref{suffix}", folder / f"hyp{suffix}"
    for path, text in zip(paths, (said, heard), strict=True):
        path.write_text(text, encoding="utf-8")
    return paths


@pytest.mark.parametrize(
    ("said", "heard", "words", "errors"),
    [
        ("u1 the cat", "u1 the hat", 2, 1),
        ("\ufeffu1 the cat\nu2 a dog", "u1 the cat\nu2 a dog", 4, 0),
        ("u1 the cat\nu2 a dog", "u2 a dog", 4, 2),
        ("the cat sat\na dog ran", "the cat sat\na hog ran", 6, 1),
        ("yes please\nno thanks", "no thanks\nyes please", 4, 4),
        ("a\u2028b c\nd e", "a\u2028b c\nd e", 5, 0),
        ("7 cats ran", "7 bats ran", 3, 1),
        ("well-known cats\nuh-huh yes", "well-known bats\nuh-huh yes", 4, 1),
        ("103-1240-0001 a cat\n103-1240-0002 b", "103-1240-0002 b\n103-1240-0001 a hat", 3, 1),
    ],
)
def test_ids_are_told_from_words(tmp_path: Path, said: str, heard: str, words: int, errors: int) -> None:
    rows = texts.pair(*write_both(tmp_path, said, heard)).rows
    counted = score(rows)["wer"]["raw"]
    assert (counted["words"], counted["errors"]) == (words, errors)


def test_lines_are_paired_by_number_when_asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    paths = write_both(tmp_path, "u1 a\nu2 b\n", "u2 b\nu1 a\n")
    assert judging.score(*paths)["wer"]["raw"]["errors"] == 0
    assert judging.score(*paths, by_line=True)["wer"]["raw"]["errors"] == 4
    said = capsys.readouterr().err
    assert "Paired by id." in said and "Paired line by line." in said


def test_an_empty_hypothesis_is_all_deletions(tmp_path: Path) -> None:
    paired = texts.pair(*write_both(tmp_path, "the cat\na dog\n", ""))
    assert paired.missing == ["1", "2"] and score(paired.rows)["wer"]["raw"]["deletions"] == 4


def test_columns_of_a_table_are_named_or_refused(tmp_path: Path) -> None:
    table = "filename\ttext\tspeaker\ttask\nu1\ta b\tS1\twords\nu2\tc\tS2\tsentences\n"
    scores = score(texts.pair(*write_both(tmp_path, table, "id\thyp\nu1\ta b\nu2\td\n", ".tsv")).rows)
    assert scores["wer"]["raw"]["words"] == 3 and scores["speakers"] == 2
    assert scores["wer"]["raw"]["interval"] is not None, "two speakers are known"
    by_task = {group["group"]: group["wer"]["normalised"]["errors"] for group in scores["groups"]["task"]}
    assert by_task == {"sentences": 1, "words": 0}
    swapped = "id,hypothesis\nu1,a b\n", "ID,Normalized_Text\nu1,a c\n"
    assert score(texts.pair(*write_both(tmp_path, *swapped, ".csv")).rows)["wer"]["raw"]["words"] == 2
    for odd, problem in (
        ("u1\ta b\tc d\n", "3 columns, expected 2"),
        ("name\ttext\nu1\ta\n", "without a column of ids"),
    ):
        with pytest.raises(InputError, match=problem):
            texts.pair(*write_both(tmp_path, odd, odd, ".tsv"))


HUGE = "1" + 400 * "0"


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        (".trn", "hi there ([/x])\n"),
        (".jsonl", '{"id": "[/x]", "text": "hello \\ud800 world", "speaker": "\\udfff"}\n'),
        (".jsonl", '{"id": "1", "text": "a", "language": 5}\n'),
        (".jsonl", '{"id": "1", "text": "a", "language": ["en"]}\n'),
        (".jsonl", '{"id": "1", "text": "a", "speaker": {"name": "x"}}\n'),
        (".jsonl", f'{{"id": "1", "text": "a", "age_years": {HUGE}, "duration_s": true}}\n'),
        (".jsonl", f'{{"id": {5000 * "9"}, "text": "a"}}\n'),
        (".jsonl", 100_000 * "["),
        (".json", 100_000 * "["),
        (".jsonl", '{"id": "1", "text": "a", "seed": [1], "utterance": {}, "split": 3, "flags": "x", "beams": []}\n'),
        (".tsv", "\t\n\ta\n"),
        (".csv", 'u1,"a\n'),
        (".stm", "r 1 a 0 1e400 x\n"),
        (".ctm", "r 1 * * <ALT_BEGIN>\nr 1 0 1 a\nr 1 * * <ALT>\nr 1 0 1 b\nr 1 * * <ALT_END>\n"),
        ("", "\u0000\x0c\r\n{ / } {a / b\n"),
    ],
)
def test_no_file_ends_the_command_with_a_traceback(tmp_path: Path, suffix: str, said: str) -> None:
    paths = write_both(tmp_path, said, said, suffix)
    (tmp_path / f"none{suffix}").write_text("", encoding="utf-8")
    for other in (*paths, tmp_path / f"none{suffix}"):
        with pytest.raises(SystemExit) as ended:
            cli.main(["score", str(paths[0]), str(other), "--json"])
        assert ended.value.code in (0, 1)


def test_odd_tables_are_read(tmp_path: Path) -> None:
    quoted = 'u1\t"who said that\nu2\tnobody " did\n'
    rows = texts.pair(*write_both(tmp_path, quoted, quoted, ".tsv")).rows
    assert len(rows) == 2 and score(rows)["wer"]["raw"]["errors"] == 0
    odd = '{"id": "u1", "text": "a b", "age_years": "7", "duration_s": NaN}\n'
    odd += '{"id": "u2", "text": "c", "age_years": "x"}\n'
    rows = texts.pair(*write_both(tmp_path, odd, odd, ".jsonl")).rows
    assert [row.get("age_years") for row in rows] == [7.0, None] and score(rows)["utterances"] == 2
    with pytest.raises(InputError, match="not a CSV table"):
        texts.pair(*write_both(tmp_path, 'u1,"' + "a" * 200_000, "u1,a", ".csv"))


def test_what_an_stm_leaves_out_is_not_scored(tmp_path: Path) -> None:
    """By the middle of each word, in its own recording and channel alone; a segment may lie across the border."""
    (tmp_path / "ref.stm").write_text(
        "a A x 0.0 2.0 the dog\n"
        "a A x 2.0 4.0 IGNORE_TIME_SEGMENT_IN_SCORING\n"
        "a A x 4.0 6.0 runs home\n"
        "b A y 0.0 4.0 a cat\n"
        "c A excluded_region 0.0 9.0\n",
        encoding="utf-8",
    )
    said = [(0.2, "the"), (1.0, "dog"), (1.9, "noise"), (3.0, "noise"), (3.7, "more"), (4.1, "runs"), (5.0, "home")]
    lines = [f"a A {start} 0.4 {word}" for start, word in said]
    lines += ["b A 0.5 0.4 a", "b A 2.5 0.4 cat", "c A 1.0 0.4 nothing"]
    (tmp_path / "hyp.ctm").write_text("\n".join(lines) + "\n", encoding="utf-8")
    paired = texts.pair(tmp_path / "ref.stm", tmp_path / "hyp.ctm")
    assert not paired.missing
    assert {row["id"]: row["hypothesis"] for row in paired.rows} == {"a": "the dog runs home", "b": "a cat"}


@pytest.mark.parametrize(
    ("suffix", "rows"),
    [
        (".jsonl", '{"audio_filepath": "1.wav", "text": "a b", "pred_text": null}\n'),
        (".jsonl", '{"id": "1", "text": "a b", "hyp": null, "pred_text": ""}\n'),
        (".tsv", "id\ttext\thypothesis\n1\ta b\t\n"),
        (".tsv", "id\ttext\thypothesis\n1\ta b\n"),
        (".csv", "id,text,hypothesis\n1,a b\n"),
    ],
)
def test_a_hypothesis_of_nothing_is_not_the_reference_beside_it(tmp_path: Path, suffix: str, rows: str) -> None:
    counted = score(texts.pair(*write_both(tmp_path, rows, rows, suffix)).rows)["wer"]["raw"]
    assert (counted["words"], counted["deletions"], counted["errors"]) == (2, 2, 2)


@pytest.mark.parametrize("error", [None, "", " ", False, True, 0, 0.0, 0.05, "0", "0.05", "5,0 %", "None", "False"])
def test_an_error_that_is_no_reason_leaves_the_hypothesis(
    tmp_path: Path, error: object, capsys: pytest.CaptureFixture[str]
) -> None:
    row = json.dumps({"id": "u1", "text": "a b", "error": error})
    assert judging.score(*write_both(tmp_path, row, row, ".jsonl"))["wer"]["raw"]["errors"] == 0
    table = f"id\ttext\terror\nu1\ta b\t{'' if error is None else error}\n"
    assert judging.score(*write_both(tmp_path, table, table, ".tsv"))["wer"]["raw"]["errors"] == 0
    assert "counted as empty" not in capsys.readouterr().err


@pytest.mark.parametrize(
    ("suffix", "said"),
    [
        (".jsonl", '{"id": "u1", "text": "a b", "error": "the audio is truncated"}\n'),
        (".csv", "id,text,error\nu1,a b,the audio is truncated\n"),
    ],
)
def test_a_hypothesis_that_failed_is_empty_and_said(
    tmp_path: Path, suffix: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    scores = judging.score(*write_both(tmp_path, said, said, suffix))
    assert scores["wer"]["raw"]["deletions"] == 2
    assert scores["not_decoded"] == [{"id": "u1", "error": "the audio is truncated"}]
    assert "1 hypothesis counted as empty, for `error` says why: u1." in " ".join(capsys.readouterr().err.split())
