"""The command line: frozen flags, exit codes, quick help, JSON."""

from __future__ import annotations

import errno
import inspect
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

from smallvoice import cli, judging, pipeline, publishing, storage, studies, terminal, using, verbs
from smallvoice import recipe_file as recipes
from smallvoice.errors import InputError
from smallvoice.storage import write_text
from tests import tiny

FLAGS = {
    "prepare": "source out split select roles language transcripts data rehash",
    "read": "path transcripts shown",
    "audit": "corpus hypotheses apply",
    "inspect": "corpus html samples seed",
    "convert": "corpus to out",
    "configure": "out corpus recipe set",
    "train": "recipe corpus out set",
    "evaluate": "model corpus split out select language beams runtime columns",
    "compare": "before after others seeds retention out resamples set fail_unless",
    "score": "reference hypothesis language by_line",
    "report": "run corpus with_audio",
    "run": "recipe set data out force rehash folds",
    "search": "recipe corpus out trials set",
    "learning_curve": "recipe corpus out split set",
    "demo": "out",
    "doctor": "",
    "export": "model to precision corpus out language accept_drift",
    "push": "folder repo public yes",
    "transcribe": "sources model out format language beams read_text runtime",
}


def call(*arguments: str, code: int = 0) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(list(arguments))
        raise SystemExit(0)
    assert caught.value.code == code


def test_flags_are_frozen() -> None:
    """A flag that has been published stays: scripts depend on it. Every verb has --json."""
    for verb, flags in FLAGS.items():
        function = cli.app[verb.replace("_", "-")].default_command
        assert " ".join(name for name in inspect.signature(function).parameters if name != "common") == flags
        assert inspect.signature(function).parameters["common"].annotation == "Common"
        assert any(callable(getattr(home, verb, None)) for home in (verbs, judging, studies, using, publishing)), (
            "a verb is a Python function too"
        )
    assert set(cli.Common.__dataclass_fields__) == {"json", "debug"}
    transcripts = "format tiers chat_text speakers pattern text_rules set"
    assert " ".join(cli.Transcripts.__dataclass_fields__) == transcripts


def test_verbs_are_functions_of_the_package_whatever_was_imported() -> None:
    """A folder of a verb's name would hide it from then on."""
    import smallvoice
    import smallvoice.reporting

    assert all(callable(getattr(smallvoice, verb)) for verb in smallvoice.__all__ for _ in range(2))


def test_forms_of_the_readme(tmp_path: Path) -> None:
    """Positional arguments and options as they are documented."""
    bound = cli.app.parse_args(["prepare", "a", "b", "--out", "c", "--split", "test"], print_error=False)[1]
    assert bound.args == (["a", "b"],)
    assert bound.kwargs == {"out": Path("c"), "split": "test"}
    bound = cli.app.parse_args(["run", "r.yaml", "--set", "a.b=1", "--set", "c=2", "--data", "d"], print_error=False)[1]
    assert bound.kwargs["set"] == ("a.b=1", "c=2")
    bound = cli.app.parse_args(["evaluate", "tiny.en", "corpus", "--split", "dev"], print_error=False)[1]
    assert bound.args == ("tiny.en", Path("corpus"))


def test_read_shows_what_was_understood(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a.txt").write_text("0\t1.5\thello there\n2\tthree\tbad\n", encoding="utf-8")
    call("read", str(tmp_path / "a.txt"), "--format", "labels", "--json")
    said = capsys.readouterr()
    content = json.loads(said.out)
    assert content["files"][0] | {"notes": []} == {
        "path": "a.txt",
        "format": "labels",
        "segments": 1,
        "timed": 1,
        "untimed": 0,
        "words": 2,
        "speakers": 0,
        "flagged": {},
        "rejected": {"bad line": 1},
        "notes": [],
    }
    assert content["segments"][0]["text"] == "hello there"
    assert content["rejected"][0]["where"] == "a.txt:2"
    assert "hello there" in said.err
    call("read", str(tmp_path / "a.txt"), "--set", "join=3", "--set", "format=docx", code=1)
    assert "unknown key 'corpus.join'" in capsys.readouterr().err


def test_brackets_and_colons_are_text(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`[noise]` and `[/x]` in transcripts, names, paths and reasons are shown; they are no markup of ours."""
    monkeypatch.setattr(terminal.console, "width", 300)
    source = tiny.write_kaldi(tmp_path / "in[", speakers=4) / "text"
    source.write_text(source.read_text(encoding="utf-8").replace(" THE", " THE [/x] :er:"), encoding="utf-8")
    said = {}

    def say(verb: str, *arguments: str) -> None:
        call(verb, *arguments)
        said[verb] = capsys.readouterr().err

    (tmp_path / "a[").mkdir()
    (tmp_path / "a[/x].txt").write_text("0\t1\tI'm [click] [red]now[noise] [/noise] :apple:\n", encoding="utf-8")
    say("read", str(tmp_path / "a[/x].txt"), "--format", "labels")
    assert "I'm [click] [red]now[noise] [/noise] :apple:" in said["read"]
    corpus, out = str(tmp_path / "c[/x]"), tmp_path / "out[/x]"
    say("prepare", str(source.parent), "--out", corpus, "--language", "en")
    say("inspect", corpus, "--html", f"{out}.html")
    say("audit", corpus, "--apply", str(out))
    assert "c[/x]" in said["prepare"] and "Page: " in said["inspect"] and "out[/x].html" in said["inspect"]
    assert "out[/x]: " in said["audit"]


def test_the_bar_shows_names_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = io.StringIO()
    monkeypatch.setattr(terminal, "console", Console(file=shown, force_terminal=True, width=200, markup=False))
    with terminal.progress("reading [/x]") as update:
        update(1, 2, "room[/x].wav")
    assert "reading [/x]" in shown.getvalue() and "room[/x].wav" in shown.getvalue()


def test_help_is_quick_and_imports_no_torch() -> None:
    check = (
        "import sys; from smallvoice.cli import app; app(['--help'], result_action='return_value');"
        "heavy = {'torch', 'transformers', 'peft', 'accelerate', 'matplotlib', 'pyarrow'} & set(sys.modules);"
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", check], check=True, capture_output=True)


def test_help_names_every_stage_that_can_be_done_again() -> None:
    assert f"although it is complete: {', '.join(pipeline.STAGES)}." in (cli.run.__doc__ or "")


def test_wrong_usage_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    call("prepare", code=2)
    call("run", "r.yaml", "--nonsense", code=2)
    call("nonsense", code=2)
    call("evaluate", "tiny.en", "corpus", "--split", "all", code=2)
    call("evaluate", "tiny.en", "corpus", "--beams", "0", code=2)
    call("inspect", "corpus", "--samples", "-3", code=2)
    call("read", "transcripts", "--shown", "-3", code=2)
    call("search", "r.yaml", "--corpus", "corpus", "--out", "o", "--trials", "0", code=2)
    assert "Traceback" not in capsys.readouterr().err


def test_mistakes_exit_with_1_and_one_sentence_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("train:\n  epochs: none\n  rate: 3\n")
    call("run", str(recipe), code=1)
    said = capsys.readouterr()
    assert said.out == ""
    assert "r.yaml:2: train.epochs is 'none'" in said.err
    assert "r.yaml:3: unknown key 'train.rate'. Known here: epochs" in said.err
    call("report", str(tmp_path / "nowhere"), code=1)
    call("compare", str(tmp_path / "a.jsonl"), str(tmp_path / "b.jsonl"), code=1)
    call("evaluate", "tiny.en", str(tmp_path / "nowhere"), code=1)
    call("prepare", str(tmp_path / "nowhere"), "--out", str(tmp_path / "corpus"), code=1)
    assert not (tmp_path / "corpus").exists()


def test_a_folder_that_may_not_be_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tiny.write_kaldi(tmp_path / "source")
    (tmp_path / "file").write_text("")
    call("prepare", str(source), "--out", str(tmp_path / "file" / "corpus"), code=1)
    assert "Traceback" not in capsys.readouterr().err


def test_a_folder_in_the_place_of_a_file_is_said_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(terminal.console, "width", 300)
    (tmp_path / "there").mkdir()
    missing, there = str(tmp_path / "missing"), str(tmp_path / "there")
    for arguments in (("compare", missing, missing, "--out", there), ("inspect", missing, "--html", there)):
        call(*arguments, code=1)
        assert f"{there}: a folder is there; give a file." in capsys.readouterr().err
    with pytest.raises(InputError, match="a folder is there"):
        write_text(tmp_path / "there", "")
    assert [path.name for path in tmp_path.rglob("*")] == ["there"]


def test_json_is_one_document(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tiny.write_kaldi(tmp_path / "source")
    call("prepare", str(source), "--out", str(tmp_path / "corpus"), "--language", "en", "--json")
    facts = json.loads(capsys.readouterr().out)
    assert facts["splits"]["train"]["utterances"] > 0


class _FullDisk(io.StringIO):
    """A standard output that goes to a disk without room."""

    def flush(self) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize(
    ("output", "sentence"),
    [
        (None, "Standard output is closed: what was asked for cannot be written. The work itself is done."),
        (_FullDisk(), "No room left on the disk while writing standard output."),
    ],
    ids=["closed", "full"],
)
def test_standard_output_that_takes_nothing(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    output: io.StringIO | None,
    sentence: str,
) -> None:
    (tmp_path / "r.tsv").write_text("id\ttext\na\thello there\n")
    monkeypatch.setattr(sys, "stdout", output)
    call("score", str(tmp_path / "r.tsv"), str(tmp_path / "r.tsv"), "--json", code=1)
    assert sentence in " ".join(capsys.readouterr().err.split())


def test_doctor(capsys: pytest.CaptureFixture[str]) -> None:
    call("doctor", "--json")
    said = capsys.readouterr()
    checks = json.loads(said.out)["checks"]
    assert {"Python", "Memory", "Disk", "Torch", "Device", "Precision"} <= {check["name"] for check in checks}
    assert all(check["todo"] for check in checks if not check["ok"])
    assert "OK" in said.err


def test_configure_counts_and_writes(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.yaml"
    call(
        "configure", str(out), "--corpus", str(tiny_corpus), "--json",
        "--set", f"model.base={tiny_models['english']}", "--set", "model.rank=2",
    )  # fmt: skip
    plan = json.loads(capsys.readouterr().out)
    assert plan["trainable_parameters"] == 2 * 32 * 4 * 4 + 2 * 48 * 4
    assert plan["steps"] > 0
    assert plan["estimated_memory_bytes"] > 1e8
    assert out.read_text().startswith("name: mine\n")


def test_configure_takes_up_how_the_corpus_was_prepared(
    tiny_models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, corpus, out = tiny.write_kaldi(tmp_path / "source"), tmp_path / "corpus", tmp_path / "mine.yaml"
    call("prepare", str(source), "--out", str(corpus), "--set", "margin_s=0.05", "--set", "split.test=0.4", "--json")
    assert "settings" not in json.loads(capsys.readouterr().out)
    chosen = ("--set", f"model.base={tiny_models['english']}", "--set", f"corpus.source={source}")
    call("configure", str(out), "--corpus", str(corpus), *chosen)
    assert "not known" not in capsys.readouterr().err
    made = recipes.load(out).corpus
    assert (made.margin_s, made.split.test) == (0.05, 0.4)

    facts = storage.read_json(corpus / "corpus.json")
    del facts["settings"]
    storage.write_json(corpus / "corpus.json", facts)
    call("configure", str(tmp_path / "older.yaml"), "--corpus", str(corpus), *chosen)
    assert "prepared with settings that are not known here; give them with --set." in " ".join(
        capsys.readouterr().err.split()
    )


def test_configure_begins_with_a_recipe_that_is_there_and_loses_no_comment(
    tiny_models: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mine.yaml"
    by_hand = f"# Why so few.\nmodel: {{base: '{tiny_models['english']}', rank: 2}}\n"
    out.write_text(by_hand)
    call("configure", str(out), "--json")
    few = json.loads(capsys.readouterr().out)["trainable_parameters"]
    assert out.read_text() == by_hand

    call("configure", str(out), "--set", "model.rank=4", code=1)
    assert "edited by hand" in capsys.readouterr().err
    assert out.read_text() == by_hand

    other = tmp_path / "other.yaml"
    call("configure", str(other), "--recipe", str(out), "--json")
    assert json.loads(capsys.readouterr().out)["trainable_parameters"] == few
    call("configure", str(other), "--set", "model.rank=4", "--json")  # nobody edited it: it may change
    assert json.loads(capsys.readouterr().out)["trainable_parameters"] == 2 * few
    assert "rank: 4" in other.read_text()

    nonsense = tmp_path / "words.csv"
    nonsense.write_text("a,b\n")
    call("configure", str(nonsense), code=1)
    assert nonsense.read_text() == "a,b\n"
