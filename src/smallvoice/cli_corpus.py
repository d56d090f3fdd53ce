"""The verbs that prepare a corpus and look at it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from cyclopts import Parameter

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.cli_app import Common, CountOrZero, Split, answer, app
from smallvoice.errors import Finding
from smallvoice.recipe import CorpusRecipe


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Transcripts:
    """How transcripts are read; more with --set."""

    format: str | None = CorpusRecipe.format
    """The transcripts' format, where it cannot be recognised: chat, textgrid, csv."""
    tiers: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A tier of TextGrid or ELAN files to read: a name or pattern, such as "CHI*". May be given several times."""
    chat_text: Literal["spoken", "target"] = CorpusRecipe.chat_text
    """CHAT files: what was said, or what was meant."""
    speakers: str | None = CorpusRecipe.speakers
    """A table of speakers (CSV: name, age_years, gender, role), for what the transcripts do not say."""
    pattern: str | None = CorpusRecipe.pattern
    """What the folders of a recording say: "{split}/{speaker}/{session}"."""
    text_rules: str | None = CorpusRecipe.text_rules
    """A file of rules that turn the transcribers' markup into words."""
    set: Annotated[tuple[str, ...], Parameter(negative="")] = ()
    """A setting of the recipe's corpus part: columns.text=Sentence, join_s=20. May be given several times."""

    def recipe(self, **further: Any) -> CorpusRecipe:
        """The recipe with these settings, checked."""
        given = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "set"}
        given["tiers"] = list(self.tiers)
        content = recipes.apply_overrides({"corpus": {**given, **further}}, [f"corpus.{item}" for item in self.set])
        return recipes.build(content, where="--set").corpus


@app.command(sort_key=1)
def prepare(
    source: list[str],
    /,
    *,
    out: Path,
    split: Split | None = None,
    select: str | None = None,
    roles: Annotated[tuple[Literal["child", "adult", "unknown"], ...], Parameter(negative="")] = (),
    language: str | None = None,
    transcripts: Transcripts = Transcripts(),
    data: Path | None = None,
    rehash: Annotated[bool, Parameter(negative="")] = False,
    common: Common = Common(),
) -> None:
    """Turn recordings and transcripts into one corpus.

    Parameters
    ----------
    source
        Folders of recordings and transcripts in any format that `read` knows, transcript files, or corpora by name.
    out
        The corpus folder. Prepared again, speakers keep their pseudonyms and their split.
    split
        Put every utterance into this split, for a corpus that is only a test.
    select
        Keep only these rows: "age_years < 18".
    roles
        Keep only what these speakers say.
    language
        The language of rows that do not say theirs: en.
    data
        Where corpora are looked for by name.
    rehash
        Recognise unchanged files by content instead of by size and time.
    """
    recipe = transcripts.recipe(source=source, select=select, roles=list(roles), language=language)
    answer(verbs.prepare(source, out, recipe=recipe, split=split, data=data, rehash=rehash), common)


@app.command(sort_key=1)
def read(
    path: Path, /, *, transcripts: Transcripts = Transcripts(), shown: CountOrZero = 10, common: Common = Common()
) -> None:
    """Show what is understood of transcripts; no audio is needed.

    Parameters
    ----------
    path
        A transcript, or a folder of them.
    shown
        How many segments to show.
    """
    answer(verbs.read(path, recipe=transcripts.recipe(), shown=shown), common)


@app.command(sort_key=1)
def audit(
    corpus: Path,
    /,
    *,
    hypotheses: Path | None = None,
    apply: Path | None = None,
    common: Common = Common(),
) -> None:
    """Look for leaks between splits, duplicates, and rows whose text or audio cannot be right.

    The exit code is 3 where a speaker, a session or audio is in two splits. Nothing is changed.

    Parameters
    ----------
    hypotheses
        A file that `evaluate` wrote: rows of whose text the model heard no word are shown.
    apply
        Write a new corpus here, without the rows that the findings condemn.
    """
    found = verbs.audit(corpus, hypotheses=hypotheses, apply=apply)
    answer(found, common)
    if found["leaks"]:
        raise Finding(*found["leaks"])


@app.command(sort_key=1)
def inspect(
    corpus: Path,
    /,
    *,
    html: Path | None = None,
    samples: CountOrZero = 12,
    seed: int = 0,
    common: Common = Common(),
) -> None:
    """Show durations, ages, speaking rates and words of a corpus.

    Parameters
    ----------
    html
        The file to write a page to, with plots and with players of sampled rows: it holds audio, so keep it.
    samples
        How many rows the page plays.
    seed
        Another seed draws other rows.
    """
    answer(verbs.inspect(corpus, html=html, samples=samples, seed=seed), common)


@app.command(sort_key=1)
def convert(corpus: Path, /, *, to: Literal["kaldi", "lhotse", "nemo"], out: Path, common: Common = Common()) -> None:
    """Write a corpus as other tools read it.

    Parameters
    ----------
    out
        A new folder.
    """
    answer(verbs.convert(corpus, to, out), common, says=str(out))
