"""`search`: settings within named ranges, chosen by the word error rate of free decoding on dev.

    OUT/journal.jsonl        what was tried and what came of it, one row an event: a search continues from it
    OUT/trials/003/          the training of a trial, which continues where it was cut off
    OUT/search.json          the table
    OUT/best.yaml            the best recipe

Optuna proposes (tree-structured Parzen estimator, Bergstra et al., 2011) and prunes a trial that is worse than the
median of the finished ones at the same evaluation. It holds no state of its own: the study is built anew for each
trial from the journal, with random numbers from (seed, trial), so a search that was cut off goes on as it would have.
"""

from __future__ import annotations

import json
import logging
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.corpus.utterance import open_corpus
from smallvoice.errors import OutOfMemory, RecipeError, WeightsError, require
from smallvoice.model import weights
from smallvoice.recipe import Recipe
from smallvoice.run_folder import RunFolder
from smallvoice.scoring import wording
from smallvoice.storage import digest, json_line, locked, no_space_as_error, recover_jsonl, write_json, write_jsonl
from smallvoice.training.search_space import Range, SearchSpace

log = logging.getLogger(__name__)

RANDOM_TRIALS = 5
"""So many trials are drawn at random before the results of earlier ones guide the draw."""
UNPRUNED_TRIALS = 3
"""So many trials must have finished before one is cut short: a median of fewer says little."""

Report = Callable[[dict[str, Any]], None]


class _Pruned(Exception):
    """Raised out of training where a trial is not worth its end."""


@dataclass
class Trial:
    """One point of the space and what came of it."""

    number: int
    """From 1."""
    settings: dict[str, Any]
    dev: dict[int, float] = field(default_factory=dict)
    """Evaluation, from 1 → word error rate."""
    state: str = "running"
    """`finished`, `pruned`, `failed`, or `running` where it was cut off."""
    wer: float | None = None
    words: int | None = None
    errors: int | None = None
    seconds: float | None = None
    reason: str | None = None
    """Why it failed, or was not trained."""

    def as_dict(self) -> dict[str, Any]:
        content = {name: value for name, value in vars(self).items() if name != "dev"}
        return {**content, "dev": [self.dev[number] for number in sorted(self.dev)]}


def search(
    space: SearchSpace, corpus: Path, out: Path, *, trials: int, report: Report = lambda row: None
) -> dict[str, Any]:
    """Try settings until `trials` of them have ended; the same command continues, with a larger number it goes on.

    Args:
        report: told every row of metrics, and `{"kind": "trial", ...}` before and after each trial.

    Returns:
        The content of `search.json`.

    Raises:
        MissingDependency: Optuna is not installed.
        RecipeError: `out` holds another search, or no trial could be trained.
        SmallvoiceError: anything a user can mend.
    """
    require("optuna", extra="search", why="A search")
    out.mkdir(parents=True, exist_ok=True)
    with locked(out):
        known = open_corpus(corpus)
        name = space.recipe.model.base
        base = weights.fingerprint(name)  # with what is in it; searches of OpenAI's sizes keep their key
        of_base = [] if base == weights.hub_id(name) else [base]
        key = digest(space.as_dict(), known.facts["language"], known.content("train", "dev"), *of_base)
        journal = _Journal(out / "journal.jsonl", key)
        while sum(trial.state != "running" for trial in journal.trials) < trials:
            _one_trial(space, corpus, out, journal, report)
        return _write_result(space, out, journal.trials)


def _one_trial(space: SearchSpace, corpus: Path, out: Path, journal: _Journal, report: Report) -> None:
    """Propose, train, write down; or continue the trial that was cut off. What was tried has its result."""
    trial = next((trial for trial in journal.trials if trial.state == "running"), None)
    study = _Study(space, [other for other in journal.trials if other is not trial])
    if trial is None:
        trial = Trial(len(journal.trials) + 1, study.propose())
        journal.add({"kind": "began", "trial": trial.number, "settings": trial.settings})
        journal.trials.append(trial)
    else:
        study.propose(trial.settings)
    report({"kind": "trial", **trial.as_dict()})
    ended = [other for other in journal.trials if other.state != "running" and other.settings == trial.settings]
    if ended:
        same = {name: getattr(ended[0], name) for name in ("state", "wer", "words", "errors")}
        result = {**same, "reason": ended[0].reason or f"the settings of trial {ended[0].number}, not trained again"}
    else:
        watch = _Watch(trial, study, journal, report, space.recipe.train.evaluations)
        result = _trained(space.with_settings(trial.settings), corpus, out / "trials" / f"{trial.number:03d}", watch)
    journal.add({"kind": "ended", "trial": trial.number, **result})
    vars(trial).update(result)
    _remove_what_nobody_needs(out, journal.trials)
    report({"kind": "trial", **trial.as_dict()})


def _trained(recipe: Recipe, corpus: Path, folder: Path, watch: _Watch) -> dict[str, Any]:
    """What came of a training: the end of a trial's row.

    Raises:
        SmallvoiceError: what other settings would not mend.
    """
    from smallvoice.training.train import train

    try:
        done = train(recipe, corpus, folder, watch)
    except _Pruned:
        return {"state": "pruned", "wer": min(watch.trial.dev.values())}
    # Settings that do not go together or do not fit, no such base, a loss that is none.
    except (OutOfMemory, RecipeError, WeightsError) as error:
        return {"state": "failed", "reason": str(error)}
    counts = done.dev[done.chosen]
    if counts.rate is None:
        raise RecipeError(f"{corpus}: dev has no words, so no trial is better than another.")
    return {
        "state": "finished",
        "wer": counts.rate,
        "words": counts.words,
        "errors": counts.errors,
        "seconds": done.seconds,
    }


class _Watch:
    """Hears the metrics of a trial, writes its dev scores down and ends it where it is not worth its end."""

    def __init__(self, trial: Trial, study: _Study, journal: _Journal, report: Report, evaluations: int) -> None:
        self.trial, self.study, self.journal, self.report = trial, study, journal, report
        self.evaluations = evaluations
        self.num_steps = 0

    def __call__(self, row: dict[str, Any]) -> None:
        self.report(row)
        if row["kind"] == "step":
            self.num_steps = row["of"]
        # Of several members the first speaks for all: the others come when most of the time is spent.
        if row["kind"] != "dev" or row["member"] or row["wer"] is None or not self.num_steps:
            return
        number = max(1, round(self.evaluations * row["step"] / self.num_steps))
        self.trial.dev[number] = row["wer"]
        self.journal.add({"kind": "evaluated", "trial": self.trial.number, "evaluation": number, "wer": row["wer"]})
        if number < self.evaluations and self.study.should_end(self.trial.dev):
            raise _Pruned


class _Study:
    """Optuna, told of the trials that have ended."""

    def __init__(self, space: SearchSpace, ended: list[Trial]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.space = space
        self.distributions = {one.path: _distribution(one) for one in space.ranges}
        self.first = not ended
        seed = int(digest(space.recipe.train.seed, len(ended))[:8], 16)
        self.study = optuna.create_study(
            direction="minimize",
            sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=RANDOM_TRIALS),
            pruner=optuna.pruners.MedianPruner(n_startup_trials=UNPRUNED_TRIALS),
        )
        states = {
            "finished": optuna.trial.TrialState.COMPLETE,
            "pruned": optuna.trial.TrialState.PRUNED,
            "failed": optuna.trial.TrialState.FAIL,
        }
        for trial in ended:
            self.study.add_trial(
                optuna.trial.create_trial(
                    state=states[trial.state],
                    params=self._encoded(trial.settings),
                    distributions=self.distributions,
                    value=trial.wer if trial.state != "failed" else None,
                    intermediate_values=trial.dev,
                )
            )

    def propose(self, settings: dict[str, Any] | None = None) -> dict[str, Any]:
        """Settings of the next trial: given ones, the recipe's own first, else what Optuna draws."""
        if settings is None and self.first:
            settings = self.space.own_settings()
        if settings is not None:
            self.study.enqueue_trial(self._encoded(settings))
        self.trial = self.study.ask(self.distributions)
        return {one.path: _decoded(one, self.trial.params[one.path]) for one in self.space.ranges}

    def should_end(self, dev: dict[int, float]) -> bool:
        """Whether a trial with these dev scores is worse than the median of the finished ones."""
        for number, wer in dev.items():
            if number not in self.study.trials[-1].intermediate_values:
                self.trial.report(wer, number)
        return bool(self.trial.should_prune())

    def _encoded(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {
            one.path: json.dumps(settings[one.path]) if one.kind == "choice" else settings[one.path]
            for one in self.space.ranges
        }


def _distribution(one: Range) -> Any:
    """The range as Optuna has it; a choice is its JSON, for Optuna takes only plain values."""
    from optuna import distributions

    if one.kind == "choice":
        return distributions.CategoricalDistribution([json.dumps(value) for value in one.choices])
    if one.kind == "int":
        return distributions.IntDistribution(int(one.low), int(one.high), log=one.log, step=int(one.step or 1))
    return distributions.FloatDistribution(one.low, one.high, log=one.log, step=one.step)


def _decoded(one: Range, value: Any) -> Any:
    return json.loads(value) if one.kind == "choice" else value


class _Journal:
    """`journal.jsonl`: rows are appended as things happen; a last row that was cut off is dropped."""

    def __init__(self, path: Path, key: str) -> None:
        self.path = path
        rows = recover_jsonl(path)
        if not rows:
            write_jsonl(path, [{"kind": "search", "key": key}])
        elif rows[0].get("key") != key:
            raise RecipeError(
                f"{path.parent}: holds a search of another recipe, other ranges or another corpus. "
                "Choose another --out."
            )
        self.trials: list[Trial] = []
        for row in rows[1:]:
            kind, number = row.pop("kind"), row.pop("trial")
            if kind == "began":
                self.trials.append(Trial(number, row["settings"]))
            elif kind == "evaluated":
                self.trials[number - 1].dev[row["evaluation"]] = row["wer"]
            else:
                vars(self.trials[number - 1]).update(row)

    def add(self, row: dict[str, Any]) -> None:
        with no_space_as_error(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json_line(row))


def best_of(trials: list[Trial]) -> Trial | None:
    """The finished trial with the lowest dev score; of equals the first."""
    finished = [trial for trial in trials if trial.state == "finished"]
    return min(finished, key=lambda trial: (trial.wer, trial.number)) if finished else None


def _remove_what_nobody_needs(out: Path, trials: list[Trial]) -> None:
    """Of a trial that has ended its metrics stay; of the best one the adapter too."""
    best = best_of(trials)
    for trial in trials:
        folder = RunFolder(out / "trials" / f"{trial.number:03d}")
        if trial.state != "running":
            shutil.rmtree(folder.checkpoints, ignore_errors=True)
            if trial is not best:
                shutil.rmtree(folder.adapter, ignore_errors=True)


def _write_result(space: SearchSpace, out: Path, trials: list[Trial]) -> dict[str, Any]:
    best = best_of(trials)
    if best is None:
        reasons = [f"  trial {trial.number}: {trial.reason}" for trial in trials if trial.reason]
        raise RecipeError(f"{out}: none of {wording.count(len(trials), 'trial')} could be finished.", *reasons[:5])
    recipes.dump(space.with_settings(best.settings), out / "best.yaml")
    result = {
        "searched": [one.path for one in space.ranges],
        "best": best.number,
        "caution": "The best of several on dev: its error on dev is too low, by the luck it was chosen for. "
        "Only speakers who chose nothing (test) say what it is.",
        "trials": [trial.as_dict() for trial in trials],
    }
    write_json(out / "search.json", result)
    return result


def line(trial: dict[str, Any]) -> str:
    """What is said before and after a trial."""
    if trial["state"] == "running":
        settings = ", ".join(f"{path} {_short(value)}" for path, value in trial["settings"].items())
        return f"trial {trial['number']}: {settings}"
    came = {
        "finished": f"dev WER {wording.percent(trial['wer'])}",
        "pruned": f"ended early at {wording.percent(trial['wer'])}: the median of the others was lower",
        "failed": str(trial["reason"]),
    }
    why = f" ({trial['reason']})" if trial["reason"] and trial["state"] != "failed" else ""
    return f"trial {trial['number']}: {came[trial['state']]}{why}"


def table(result: dict[str, Any]) -> Any:
    """All trials, the best first, as a table for the terminal."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, caption=result["caution"], caption_justify="left")
    shown.add_column("trial", justify="right")
    for path in result["searched"]:
        shown.add_column(path.rpartition(".")[2], justify="right")
    for heading in ("dev WER", "errors / words", "minutes", ""):
        shown.add_column(heading, justify="right", no_wrap=True)
    order = {"finished": 0, "pruned": 1, "failed": 2, "running": 3}
    for trial in sorted(result["trials"], key=lambda row: (order[row["state"]], row["wer"] or 0.0, row["number"])):
        settings = (_short(trial["settings"][path]) for path in result["searched"])
        counted = f"{trial['errors']:,} / {trial['words']:,}" if trial["words"] else ""
        minutes = f"{trial['seconds'] / 60:.1f}" if trial["seconds"] else ""
        state = "best" if trial["number"] == result["best"] else trial["state"]
        state = "" if state == "finished" else state
        cells = [wording.percent(trial["wer"]), counted, minutes, state]
        shown.add_row(str(trial["number"]), *settings, *cells)
    return shown


def _short(value: Any) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float)
        else ", ".join(map(str, value))
        if value and isinstance(value, list)
        else str(value)
    )
