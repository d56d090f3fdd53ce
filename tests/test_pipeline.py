"""The whole job on a tiny random Whisper: every artefact, skipping, continuing after a kill, and no names."""

from __future__ import annotations

import getpass
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from smallvoice import pipeline, verbs
from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import InputError, RecipeError
from smallvoice.model import tuned
from smallvoice.recipe import Recipe
from smallvoice.reporting import facts
from smallvoice.run_folder import RunFolder
from smallvoice.stage_cost import Started
from smallvoice.storage import read_json, read_jsonl, write_json
from tests import tiny
from tests.conftest import needs_weights

LEAVES_THE_MACHINE = ("adapter", "hypotheses", "metrics.jsonl", "trained_on.jsonl", "left_out.jsonl")
LEAVES_THE_MACHINE += ("evaluation_results.json", "comparative_analysis.json", "provenance.json", "report.html")


def make_recipe(model: Path, source: Path, **train: object) -> Recipe:
    settings: dict[str, object] = {"epochs": 2, "batch_size": 4, "evaluations": 2, "checkpoint_every": 2}
    return recipes.build(
        {
            "name": "tiny",
            "corpus": {"source": str(source), "language": "en"},
            "model": {"base": str(model), "rank": 2},
            "augment": {"speed": 0.1, "time_masks": 1, "mel_masks": 1},
            "train": settings | train,
            "decode": {"tokens_base": 6, "tokens_per_s": 2.0},
            "evaluate": {"resamples": 200},
        }
    )


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write_kaldi(tmp_path_factory.mktemp("kaldi") / "recordings_of_anna")


@pytest.fixture(scope="module")
def finished(tiny_models: dict[str, Path], source: Path, tmp_path_factory: pytest.TempPathFactory) -> RunFolder:
    out = tmp_path_factory.mktemp("run")
    verbs.run(make_recipe(tiny_models["multilingual"], source, members=2), out)
    return RunFolder(out)


def test_every_artefact_is_there(finished: RunFolder) -> None:
    for path in (finished.adapter / "adapter_model.safetensors", finished.report, finished.comparison):
        assert path.stat().st_size > 500
    evaluation = read_json(finished.evaluation("test"))["models"]
    assert set(evaluation) == {"base", "tuned"}
    base, tuned = evaluation["base"], evaluation["tuned"]
    assert base["trainable_parameters"] == 0 < tuned["trainable_parameters"]
    assert base["decoding"]["window"]["kind"] == "full"
    assert tuned["decoding"]["window"]["kind"] == "trim"
    assert base["wer"]["raw"]["words"] == tuned["wer"]["raw"]["words"] > 0
    for form in ("raw", "lower_cased", "normalised"):
        assert {"insertions", "deletions", "substitutions"} <= set(base["wer"][form])


def test_training_saw_no_test_speaker(finished: RunFolder) -> None:
    trained_on = read_jsonl(finished.trained_on)
    tested = read_jsonl(finished.hypotheses("tuned", "test"))
    assert {row["used_for"] for row in trained_on} == {"training", "selection"}
    assert not {row["id"] for row in trained_on} & {row["id"] for row in tested}
    assert not {row["speaker"] for row in trained_on} & {row["speaker"] for row in tested}
    splits = read_json(finished.corpus / "corpus.json")["splits"]
    assert len(trained_on) == splits["train"]["utterances"] + splits["dev"]["utterances"]


def test_metrics_say_what_happened(finished: RunFolder) -> None:
    rows = read_jsonl(finished.metrics)
    for member in (0, 1):
        steps = [row["step"] for row in rows if row["member"] == member and row["kind"] == "step"]
        assert steps == list(range(1, steps[-1] + 1))
        dev = [row for row in rows if row["member"] == member and row["kind"] == "dev"]
        assert len(dev) == 2
        assert dev[-1]["step"] == steps[-1]


def test_a_launcher_of_several_processes_is_refused(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(RecipeError, match="launch `smallvoice train"):
        verbs.run(make_recipe(tiny_models["multilingual"], source), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_with_nobody_to_test_there_is_a_model_and_no_score(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = make_recipe(tiny_models["multilingual"], source, epochs=1, evaluations=1)
    everyone = replace(recipe, corpus=replace(recipe.corpus, split=replace(recipe.corpus.split, test=0.0)))
    made = RunFolder(tmp_path)
    verbs.run(recipe, tmp_path)
    assert made.report.exists() and made.hypotheses("tuned", "test").exists()
    result = verbs.run(everyone, tmp_path)
    assert set(open_corpus(made.corpus).splits()) == {"train", "dev"}, "who was tested is trained on"
    assert not made.hypotheses("tuned", "test").exists() and not made.evaluation("test").exists()
    assert set(read_json(made.provenance)["stages"]) == {"prepare", "train"}
    assert result["utterances"] == 0 and "corpus.split.test: 0" in result["why"]
    assert (made.adapter / "adapter_model.safetensors").is_file()
    assert read_json(made.provenance)["stages"]["train"]["precision"] in ("float32", "bfloat16")
    assert not made.comparison.exists() and not made.report.exists()
    capsys.readouterr()
    assert verbs.run(everyone, tmp_path) == result
    assert "train: complete and unchanged" in capsys.readouterr().err


def test_what_training_would_refuse_is_refused_before_the_base_is_decoded(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    nobody = {"select": 'speaker == "nobody"', "weight": 0.1}
    with pytest.raises(RecipeError, match="no row of train"):
        verbs.run(make_recipe(tiny_models["multilingual"], source, preserve=nobody), tmp_path)
    assert not RunFolder(tmp_path).hypotheses("base", "test").exists()


def test_a_stage_says_how_fast_the_machine_was_when_it_ran(
    finished: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = read_json(finished.provenance)["stages"]
    assert all(before[stage]["matmul_gflops"] > 0 for stage in ("base", "train", "tuned"))
    monkeypatch.setattr(pipeline.machine, "matmul_gflops", lambda: 1.0)
    verbs.run(recipes.load(finished.recipe), finished.path, force=("tuned",))
    after = read_json(finished.provenance)["stages"]
    assert after["tuned"]["matmul_gflops"] == 1.0
    assert after["train"]["matmul_gflops"] == before["train"]["matmul_gflops"]
    assert f"products at {before['train']['matmul_gflops']:.0f} GFLOP/s" in finished.card.read_text()


def test_second_run_does_nothing(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    before = {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")}
    verbs.run(recipes.load(finished.recipe), finished.path)
    said = capsys.readouterr().err
    for stage in ("base", "train", "tuned", "compare", "report"):
        assert f"{stage}: complete and unchanged" in said
    assert before == {path: path.stat().st_mtime_ns for path in finished.path.rglob("*.safetensors")}


def test_sources_that_were_copied_are_read_again_and_nothing_else(
    finished: RunFolder, source: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for path in source.rglob("*"):
        os.utime(path, (1, 1))
    verbs.run(recipes.load(finished.recipe), finished.path)
    said = capsys.readouterr().err
    assert "unchanged since it was prepared" not in said
    for stage in ("base", "train", "tuned", "compare", "report"):
        assert f"{stage}: complete and unchanged" in said


def test_a_change_redoes_what_depends_on_it(finished: RunFolder, capsys: pytest.CaptureFixture[str]) -> None:
    recipe = recipes.load(finished.recipe, ["evaluate.resamples=100"])
    verbs.run(recipe, finished.path)
    said = capsys.readouterr().err
    assert "train: complete and unchanged" in said
    assert "compare: complete" not in said
    verbs.run(recipe, finished.path, force=("tuned",))
    said = capsys.readouterr().err
    for stage, redone in (("base", False), ("train", False), ("tuned", True), ("compare", True), ("report", True)):
        assert (f"{stage}: complete and unchanged" not in said) == redone, stage
    with pytest.raises(RecipeError, match="no such stage"):
        verbs.run(recipe, finished.path, force=("tests",))


def test_what_was_made_of_other_files_is_made_again(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The keys are those of before: but what stands there was made of what is not there any more."""
    out = RunFolder(shutil.copytree(finished.path, tmp_path / "run", copy_function=shutil.copy2))
    out.hypotheses("tuned", "test").unlink()
    verbs.run(recipes.load(finished.recipe), out.path)
    said = capsys.readouterr().err
    for stage, redone in (("base", False), ("train", False), ("tuned", True), ("compare", True), ("report", True)):
        assert (f"{stage}: complete and unchanged" not in said) == redone, stage


def test_a_training_begun_again_continues_where_it_was_cut_off(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same command again, with its `--force`, throws away nothing of what it has done."""
    out = RunFolder(shutil.copytree(finished.path, tmp_path / "run", copy_function=shutil.copy2))
    recipe, given = recipes.load(finished.recipe), verbs.evaluate
    begun: list[int] = []

    def cut_off(model: str, *arguments: object, **options: object) -> object:
        begun.append(len(read_jsonl(out.metrics)))
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "evaluate", cut_off)
    with pytest.raises(KeyboardInterrupt):
        verbs.run(recipe, out.path, force=("train",))
    assert begun, "it was trained again, and the decoding after it cut off"
    before = (out.adapter / "adapter_model.safetensors").stat().st_mtime_ns
    monkeypatch.setattr(verbs, "evaluate", given)
    capsys.readouterr()
    verbs.run(recipe, out.path, force=("train",))
    said = capsys.readouterr().err
    assert "train: complete and unchanged" in said and "tuned: complete" not in said and "compare: complete" not in said
    assert (out.adapter / "adapter_model.safetensors").stat().st_mtime_ns == before
    verbs.run(recipe, out.path, force=("train",))
    assert "train: complete and unchanged" not in capsys.readouterr().err, "a new wish is a new training"


def test_an_adapter_is_given_away_as_its_run_decodes_now(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = RunFolder(shutil.copytree(finished.path, tmp_path / "run", copy_function=shutil.copy2))
    recipe = recipes.load(finished.recipe, ["decode.beams=2"])
    for _ in range(2):
        verbs.run(recipe, out.path)
        assert "train: complete and unchanged" in capsys.readouterr().err
        facts = tuned.read(out.adapter)
        assert facts and facts.decode == recipe.decode


def test_nothing_that_can_leave_the_machine_holds_a_name_or_a_path(finished: RunFolder, source: Path) -> None:
    files = [
        path
        for name in LEAVES_THE_MACHINE
        for path in [finished.path / name, *(finished.path / name).rglob("*")]
        if path.is_file()
    ]
    assert len(files) >= 10
    forbidden = ["anna", str(Path.home()), str(source), str(finished.path), "/tmp", os.sep + "usr" + os.sep]
    forbidden += [socket.gethostname(), sys.prefix]
    if len(getpass.getuser()) > 4:  # "root" is a word
        forbidden.append(getpass.getuser())
    for path in files:
        content = path.read_bytes().decode("utf-8", "replace")
        found = [name for name in forbidden if re.search(rf"{re.escape(name)}", content)]
        assert not found, f"{path.name} holds {found}"


def test_model_can_be_a_run_an_adapter_or_a_folder(
    finished: RunFolder, tiny_models: dict[str, Path], tmp_path: Path
) -> None:
    scored = read_json(finished.evaluation("test"))["models"]["tuned"]
    decode = recipes.load(finished.recipe).decode
    for name in (finished.path, finished.adapter):
        block = verbs.evaluate(str(name), finished.corpus, out=tmp_path / "again", decode=decode)
        assert block["wer"] == scored["wer"]
        assert block["adapter_sha256"] == scored["adapter_sha256"]
    with pytest.raises(InputError, match="no 'nothing' split"):
        verbs.evaluate(str(finished.path), finished.corpus, split="nothing", out=tmp_path / "none")


def test_an_adapter_says_how_its_run_decodes(finished: RunFolder) -> None:
    facts = tuned.read(finished.adapter)
    assert facts and facts.decode == recipes.load(finished.recipe).decode


@pytest.mark.parametrize(
    ("split", "said"), [("train", "were seen in training"), ("dev", "are of dev and chose the checkpoint")]
)
def test_evaluating_what_training_saw_is_said(
    split: str, said: str, finished: RunFolder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    block = verbs.evaluate(str(finished.path), finished.corpus, split=split, out=tmp_path)
    seen = block["seen_in_training"]
    assert seen == block["utterances"]
    warned = [record.getMessage() for record in caplog.records if "not a test" in record.getMessage()]
    assert warned == [f"{seen} of these {seen} utterances {said}: this is not a test."]


def test_killed_training_continues_to_the_same_adapter_bit_for_bit(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    recipe = make_recipe(tiny_models["multilingual"], source, epochs=16, batch_size=3, accumulate=2, ema=0.9)
    recipes.dump(recipe, tmp_path / "tiny.yaml")

    def command(out: str) -> list[str]:
        return [sys.executable, "-m", "smallvoice", "run", str(tmp_path / "tiny.yaml"), "--out", str(tmp_path / out)]

    subprocess.run(command("whole"), check=True, capture_output=True)
    process = subprocess.Popen(command("killed"), stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    metrics = tmp_path / "killed" / "checkpoints" / "member-0" / "metrics.jsonl"
    deadline = time.monotonic() + 120
    while not (metrics.is_file() and metrics.read_text().count('"kind": "step"') >= 7):
        assert process.poll() is None, process.communicate()[1]
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert not (tmp_path / "killed" / "adapter").exists()
    _say_held(tmp_path / "killed" / "checkpoints" / "member-0" / "last" / "progress.json", held := 10**12)
    again = subprocess.run(command("killed"), check=True, capture_output=True, text=True)
    assert "Training continues after step" in again.stderr

    def result(out: str) -> bytes:
        return (tmp_path / out / "adapter" / "adapter_model.safetensors").read_bytes()

    assert result("killed") == result("whole")
    whole, killed = (read_jsonl(tmp_path / out / "metrics.jsonl") for out in ("whole", "killed"))
    assert [row.get("loss") for row in whole] == [row.get("loss") for row in killed]
    assert read_json(tmp_path / "killed" / "provenance.json")["peak_memory_bytes"] == held, "what its first part held"


def _say_held(progress: Path, num_bytes: int) -> None:
    """As if the process that wrote a checkpoint had held so much memory."""
    content = read_json(progress)
    assert 10**7 < content["peak_memory_bytes"] < num_bytes
    write_json(progress, {**content, "peak_memory_bytes": num_bytes})


def test_a_stage_that_was_cut_off_has_the_time_of_all_its_parts_or_says_that_it_has_not() -> None:
    most = 10**15
    trained = Started().cost({"seconds": 100.0, "peak_memory_bytes": most})
    assert trained == {"seconds": 100.0, "peak_memory_bytes": most}, "training knows them"
    cost = Started().cost({"decode_s": None})
    assert cost["last_part"] is True and cost["seconds"] < 10, "decoding does not"
    assert 10**7 < cost["peak_memory_bytes"] < most
    shown = dict(facts.stages({"stages": {"train": {"seconds": 100.0}, "tuned": cost}}))
    assert shown["train"] == "1 min 40 s" and "tuned, its last part" in shown


def test_full_disk_while_training_keeps_the_last_checkpoint(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import errno

    from smallvoice.errors import ResourceError
    from smallvoice.training import checkpoint

    recipe = make_recipe(tiny_models["multilingual"], source)
    write, written = Path.write_bytes, []

    def full(self: Path, data: bytes) -> int:
        if self.name.startswith(".optimizer.safetensors"):
            written.append(self)
            if len(written) == 2:
                raise OSError(errno.ENOSPC, "No space left on device")
        return write(self, data)

    monkeypatch.setattr(checkpoint.Path, "write_bytes", full)
    with pytest.raises(ResourceError, match="No room left"):
        verbs.run(recipe, tmp_path)
    monkeypatch.undo()
    kept = read_json(tmp_path / "checkpoints" / "member-0" / "last" / "progress.json")
    assert kept["step"] == 2
    verbs.run(recipe, tmp_path)
    assert RunFolder(tmp_path).comparison.is_file()


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_two_steps_of_the_reference_recipe_on_every_kind(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, kind: str
) -> None:
    recipe = recipes.load(
        recipes.packaged("reference_quality_lora"),
        [f"model.base={tiny_models[kind]}", "train.max_steps=2", "train.evaluations=1", "decode.tokens_base=4"],
    )
    facts = verbs.train(recipe, tiny_corpus, tmp_path)
    assert facts["trainable_parameters"] == 16 * 32 * 4 * 6
    assert recipe.window.kind == "full"
    steps = [row for row in read_jsonl(tmp_path / "metrics.jsonl") if row["kind"] == "step"]
    assert [row["step"] for row in steps] == [1, 2]
    assert all(row["utterances"] >= 16 or row["utterances"] == 15 for row in steps)


@pytest.mark.slow
@needs_weights("openai/whisper-base")
def test_two_steps_of_the_reference_recipe_on_whisper_base(tiny_corpus: Path, tmp_path: Path) -> None:
    recipe = recipes.load(
        recipes.packaged("reference_quality_lora"),
        [
            "train.max_steps=2",
            "train.batch_size=1",
            "train.evaluations=1",
            "decode.tokens_base=2",
            "decode.batch_size=2",
        ],
    )
    facts = verbs.train(recipe, tiny_corpus, tmp_path)
    assert (facts["trainable_parameters"], facts["total_parameters"]) == (1_179_648, 73_773_568)
    losses = [row["loss"] for row in read_jsonl(tmp_path / "metrics.jsonl") if row["kind"] == "step"]
    assert len(losses) == 2


def test_other_threads_are_allowed_and_said(
    tiny_models: dict[str, Path], tiny_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from smallvoice.training import checkpoint, loop

    recipe = make_recipe(tiny_models["english"], tiny_corpus, epochs=1)
    save = checkpoint.save

    def save_and_stop(*arguments: object) -> None:
        save(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop.checkpoint, "save", save_and_stop)
        with pytest.raises(KeyboardInterrupt):
            verbs.train(recipe, tiny_corpus, tmp_path)
    path = tmp_path / "checkpoints" / "member-0" / "last" / "progress.json"
    progress = json.loads(path.read_text())
    assert progress["threads"] == torch.get_num_threads()
    path.write_text(json.dumps(progress | {"threads": 77}))
    verbs.train(recipe, tiny_corpus, tmp_path)
    assert "began with 77 threads" in caplog.text


def test_text_longer_than_the_decoder_is_a_ledger_row(
    tiny_models: dict[str, Path], source: Path, tmp_path: Path
) -> None:
    folder = shutil.copytree(source, tmp_path / "source")
    lines = (folder / "text").read_text().splitlines()
    # One utterance of each of two speakers; at most one of them is in dev.
    long = [line + " WORD" * 200 if number in (0, 3) else line for number, line in enumerate(lines)]
    (folder / "text").write_text("\n".join(long) + "\n")
    recipe = make_recipe(tiny_models["english"], folder, max_steps=1)
    everyone = recipes.build({"corpus": {"language": "en", "split": {"train": 0.8, "dev": 0.2, "test": 0.0}}}).corpus
    verbs.prepare([str(folder)], tmp_path / "corpus", recipe=everyone)
    facts = verbs.train(recipe, tmp_path / "corpus", tmp_path / "run")
    left_out = read_jsonl(tmp_path / "run" / "left_out.jsonl")
    assert facts["left_out"] == len(left_out) > 0
    assert "tokens, the decoder holds 448" in left_out[0]["reason"]
    trained = {row["id"] for row in read_jsonl(tmp_path / "run" / "trained_on.jsonl") if row["used_for"] == "training"}
    assert not {row["id"] for row in left_out} & trained


def test_recipe_of_a_run_repeats_it(finished: RunFolder) -> None:
    assert recipes.load(finished.recipe).train.members == 2
    assert json.loads((finished.adapter / "adapter_config.json").read_text())["r"] in (2, 4)


def test_speech_that_must_not_break_is_scored_too(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Added to a finished run: only what depends on it is done, and the verdict knows."""
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    others = tiny.write_kaldi(tmp_path / "others", speakers=2, utterances=2)
    said = (others / "text").read_text(encoding="utf-8").splitlines()
    (others / "text").write_text("".join(f"{line} AGAIN\n" for line in said), encoding="utf-8")
    recipe = recipes.load(finished.recipe)
    kept = [{"name": "others", "source": str(others), "language": "en"}]
    content = recipes.as_dict(recipe)
    content["evaluate"] |= {"retention": kept, "retention_margin": 0.0}
    analysis = verbs.run(recipes.build(content), out)
    shown = capsys.readouterr().err
    assert "train: complete and unchanged" in shown and "\nretention\n" in shown
    block = analysis["retention"]["others"]
    assert block["utterances"] == 4 and block["a"]["words"] == block["b"]["words"] > 0
    made = RunFolder(out).retention("others")
    assert read_json(made.comparison)["overall"]["normalised"]["a"] == block["a"]
    assert "Other speech" in RunFolder(out).report.read_text(encoding="utf-8")
    for made_page in (RunFolder(out).report, RunFolder(out).card):
        assert "others/" not in made_page.read_text(encoding="utf-8").replace("retention/others", "")
        assert str(others) not in made_page.read_text(encoding="utf-8")
    nowhere = {"name": "nowhere", "source": str(tmp_path / "nowhere")}
    content["evaluate"]["retention"] = [nowhere]
    before = RunFolder(out).recipe.read_text()
    with pytest.raises(InputError, match="no such folder"):
        verbs.run(recipes.build(content), out)
    assert RunFolder(out).recipe.read_text() == before, "what was not done is not said"
    seen = {"name": "seen", "source": str(recipe.corpus.source), "language": "en"}
    content["evaluate"]["retention"] = [seen]
    with pytest.raises(InputError, match="training heard"):
        verbs.run(recipes.build(content), out)


def test_weights_that_are_gone_are_made_again(
    finished: RunFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = RunFolder(shutil.copytree(finished.path, tmp_path / "run", copy_function=shutil.copy2))
    weights_file = out.adapter / "adapter_model.safetensors"
    before = weights_file.read_bytes()
    weights_file.unlink()
    capsys.readouterr()
    verbs.run(recipes.load(finished.recipe), out.path)
    assert "train: complete and unchanged" not in capsys.readouterr().err
    assert weights_file.read_bytes() == before


def test_a_run_begun_with_another_recipe_shows_no_figures_of_the_one_before(
    finished: RunFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = RunFolder(shutil.copytree(finished.path, tmp_path / "run", copy_function=shutil.copy2))
    recipe = recipes.load(finished.recipe, ["train.epochs=9"])

    def cut_off(*arguments: object, **options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(verbs, "train", cut_off)
    with pytest.raises(KeyboardInterrupt):
        verbs.run(recipe, out.path)
    assert not out.comparison.exists() and not out.report.exists() and not out.card.exists()


def test_nothing_of_somebodys_own_is_written_over(finished: RunFolder, tmp_path: Path) -> None:
    recipe = recipes.load(finished.recipe)
    mine = tmp_path / "recipe.yaml"
    mine.write_text("name: mine  # a note\n", encoding="utf-8")
    for do in (lambda: verbs.run(recipe, tmp_path), lambda: verbs.train(recipe, finished.corpus, tmp_path)):
        with pytest.raises(RecipeError, match="has comments"):
            do()
    assert mine.read_text(encoding="utf-8") == "name: mine  # a note\n"
    mine.unlink()
    (tmp_path / "README.md").write_text("# Mine", encoding="utf-8")
    with pytest.raises(InputError, match="no model card"):
        verbs.run(recipe, tmp_path)
