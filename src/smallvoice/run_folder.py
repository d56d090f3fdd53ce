"""The artefacts of one run and their paths.

RUN/recipe.yaml                     every setting, defaults included
RUN/corpus/                         what `prepare` made (stays on this machine)
RUN/checkpoints/                    from where training continues
RUN/adapter/                        the result: adapter_model.safetensors, adapter_config.json, smallvoice.json
RUN/earlier_adapter/                that of the training before, while another has not come to its end
RUN/metrics.jsonl                   one row a training step, one a dev evaluation
RUN/trained_on.jsonl                every utterance that training or selection saw
RUN/left_out.jsonl                  every training utterance that could not be used, and why
RUN/hypotheses/base.test.jsonl      what the base model wrote
RUN/hypotheses/tuned.test.jsonl     what the tuned model wrote
RUN/evaluation_results.json         scores of both
RUN/retention/NAME/                 the same of other speech that the recipe names
RUN/comparative_analysis.json       their difference, with intervals
RUN/provenance.json                 versions, machine, time and memory of each stage
RUN/report.html                     for people
RUN/README.md                       the model card
"""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

FOLDS = "folds.json"
"""In the folder of a run over folds, which is no run itself."""
LOCAL_BASE = "local-model"
"""What a base model in a folder is called, whose own name may be that of a school or a child."""


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run."""

    path: Path

    @property
    def recipe(self) -> Path:
        return self.path / "recipe.yaml"

    @property
    def corpus(self) -> Path:
        return self.path / "corpus"

    @property
    def checkpoints(self) -> Path:
        return self.path / "checkpoints"

    @property
    def adapter(self) -> Path:
        return self.path / "adapter"

    @property
    def earlier_adapter(self) -> Path:
        return self.path / "earlier_adapter"

    @property
    def metrics(self) -> Path:
        return self.path / "metrics.jsonl"

    @property
    def trained_on(self) -> Path:
        return self.path / "trained_on.jsonl"

    @property
    def left_out(self) -> Path:
        return self.path / "left_out.jsonl"

    def evaluation(self, split: str) -> Path:
        """`evaluation_results.json` is that of test; another split has its name in the file's."""
        return self.path / ("evaluation_results.json" if split == "test" else f"evaluation_results.{split}.json")

    @property
    def comparison(self) -> Path:
        return self.path / "comparative_analysis.json"

    def retention(self, name: str) -> RunFolder:
        """Corpus, hypotheses, scores and comparison of a set of other speech."""
        return RunFolder(self.path / "retention" / name)

    @property
    def provenance(self) -> Path:
        return self.path / "provenance.json"

    @property
    def report(self) -> Path:
        return self.path / "report.html"

    @property
    def card(self) -> Path:
        return self.path / "README.md"

    def forget_claims(self) -> None:
        """Take away what is said of a model where another takes its place."""
        for path in (self.comparison, self.report, self.card):
            path.unlink(missing_ok=True)

    def forget_scores(self, split: str) -> None:
        """Take away what was heard and scored of a split, and of other speech."""
        self.forget_claims()
        for path in (self.evaluation(split), *(self.hypotheses(system, split) for system in ("base", "tuned"))):
            path.unlink(missing_ok=True)
        shutil.rmtree(self.path / "retention", ignore_errors=True)

    def hypotheses(self, system: str, split: str) -> Path:
        """`system` is `base` or `tuned`."""
        return self.path / "hypotheses" / f"{system}.{split}.jsonl"
