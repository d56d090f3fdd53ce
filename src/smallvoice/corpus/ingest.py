"""`prepare`: sources -> one corpus on disk, with a fate for every segment.

    CORPUS/{train,dev,test}-00000.parquet, index.arrow      the rows
    CORPUS/split.json                                       who is in which split (pseudonyms only)
    CORPUS/speakers.csv                                     who is behind the pseudonyms; stays here
    CORPUS/ledger.jsonl                                     the fate of every segment and orphan file
    CORPUS/corpus.json                                      counts, common facts, and what it was made of

Two passes: `intake` reads, cuts and encodes; then the split is made and the rows go to the shards of their
splits. The folder is built beside the old one and takes its place at the end.
"""

from __future__ import annotations

import dataclasses
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from smallvoice.corpus import settings, split
from smallvoice.corpus.building import check_room, replacing_folder
from smallvoice.corpus.facts import CorpusCounts
from smallvoice.corpus.intake import Intake
from smallvoice.corpus.pseudonyms import Pseudonyms
from smallvoice.corpus.select import Selection, parse
from smallvoice.corpus.shards import CorpusWriter, ShardWriter
from smallvoice.corpus.sources import Source, place_of, with_distinct_names
from smallvoice.corpus.summary import PrepareResult, describe
from smallvoice.corpus.survey import Survey, survey
from smallvoice.corpus.utterance import Utterance, read_shard
from smallvoice.errors import InputError, RecipeError
from smallvoice.recipe import CorpusRecipe, SplitRecipe
from smallvoice.storage import digest, file_digest, json_line, read_json, write_json

__all__ = ["PrepareResult", "describe", "prepare"]

Report = Callable[[int, int, str], None]
"""Told how many segments are done, how many there are, and of which source."""

_WAITING = "waiting"
_DRAFT = "draft.jsonl"
_OWN_FILES = {"corpus.json", "index.arrow", "split.json", "speakers.csv", "ledger.jsonl"}


def prepare(
    recipe: CorpusRecipe,
    sources: list[Source],
    out: Path,
    *,
    rehash: bool = False,
    force: bool = False,
    report: Report | None = None,
) -> PrepareResult:
    """Make a corpus of `sources` in the folder `out`, unless it is there already, made of the same.

    Args:
        rehash: compare source files by content, not by size and time.
        force: make it again even if nothing has changed.

    Raises:
        InputError: a source of no known shape, nothing kept, too few speakers, or `out` holds something else.
        RecipeError: `select` cannot be read.
        ResourceError: no room on the disk.
    """
    out = out.absolute()
    earlier = _earlier_facts(out)
    selection = parse(recipe.select) if recipe.select else None
    earlier_sources = earlier["sources"] if earlier else []
    sources = with_distinct_names(sources, {one["place"]: one["name"] for one in earlier_sources if "place" in one})
    found = survey(sources, recipe)
    made_of = settings.made_of(recipe, sources, rehash=rehash)
    if earlier and earlier.get("made_of") == made_of and not force:
        return PrepareResult(path=out, facts=earlier, unchanged=True, remarks=found.notes)
    pseudonyms = Pseudonyms.read(out / "speakers.csv")
    pseudonyms.add(found.people)
    known = _known_places(out, recipe.split)
    if found.units and not known:
        # Better said now than after hours of decoding.
        split.require_enough(len(found.units), _shares(recipe.split), set().union(*found.brings.values()))
    with replacing_folder(out) as folder:
        intake = _take_in(recipe, selection, sources, found, pseudonyms, folder, report)
        plan = _plan(recipe.split, intake, known)
        settled = _settle(folder, plan)
        assert intake.num_drafted == found.num_items == settled.num_items
        if not settled.num_kept:
            notes = [*found.notes, *intake.times.notes()]
            raise InputError(_nothing_kept(sources, settled), *(f"Note: {note}" for note in notes))
        synthetic = any(source.synthetic for source in sources)
        facts = {
            "sources": [
                {
                    "name": source.name,
                    "place": place_of(source),
                    "split": source.split,
                    "language": source.language,
                    "synthetic": source.synthetic,
                }
                for source in sources
            ],
            "synthetic": synthetic,
            "select": recipe.select,
            "settings": settings.to_keep(recipe),
            **settled.counts.as_dict(),
            "ledger": settled.as_dict(),
            "notes": [*_missing(sources, pseudonyms), *_notes(intake, plan, known, settled, recipe.split.by)],
            "made_of": made_of,
            "key": _key(folder, synthetic),
        }
        write_json(folder / "split.json", _split_file(recipe.split, plan, settled, known))
        pseudonyms.write(folder / "speakers.csv", settled.splits_of)
        write_json(folder / "corpus.json", facts)
    return PrepareResult(path=out, facts=facts, unchanged=False, remarks=found.notes)


def _key(folder: Path, synthetic: bool) -> str:
    """What the corpus is, whenever and from which copy it was made: the bytes of its rows, and what was dropped."""
    return digest("corpus", synthetic, file_digest(folder / "ledger.jsonl", *sorted(folder.glob("*.parquet"))))


def _take_in(
    recipe: CorpusRecipe,
    selection: Selection | None,
    sources: list[Source],
    found: Survey,
    pseudonyms: Pseudonyms,
    folder: Path,
    report: Report | None,
) -> Intake:
    """The first pass: `waiting-*.parquet` and `draft.jsonl` in `folder`."""
    with (folder / _DRAFT).open("w", encoding="utf-8") as draft, ShardWriter(folder, _WAITING) as rows:
        intake = Intake(
            recipe=recipe,
            selection=selection,
            pseudonyms=pseudonyms,
            brings=found.brings,
            rows=rows,
            draft=draft,
            report=lambda done, name: report(done, found.num_items, name) if report else None,
        )
        for source in sources:
            intake.take(source)
    return intake


def _plan(recipe: SplitRecipe, intake: Intake, known: dict[str, str]) -> split.Plan:
    if recipe.by == "folds" and recipe.fold > recipe.folds:
        raise RecipeError(f"corpus.split.fold is {recipe.fold}: there are {recipe.folds} folds.")
    return split.plan(
        intake.units.values(),
        _shares(recipe),
        known,
        together=intake.together.values(),
        by=recipe.by,
        folds=(recipe.fold, recipe.folds),
    )


def _shares(recipe: SplitRecipe) -> dict[str, float]:
    return {name: getattr(recipe, name) for name in split.SPLITS}


@dataclass
class _Settled:
    """What became of the rows and segments."""

    counts: CorpusCounts = field(default_factory=CorpusCounts)
    num_kept: int = 0
    num_joined: int = 0
    """Segments that are part of a row that another one leads."""
    dropped: Counter[str] = field(default_factory=Counter)
    """Reason -> number."""
    examples: dict[str, str] = field(default_factory=dict)
    """Reason -> the first of that kind."""
    splits_of: defaultdict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Pseudonym -> the splits with rows of it."""

    @property
    def num_items(self) -> int:
        return self.num_kept + self.num_joined + self.dropped.total()

    def as_dict(self) -> dict[str, Any]:
        dropped = dict(sorted(self.dropped.items(), key=lambda item: (-item[1], item[0])))
        return {"segments": self.num_items, "kept": self.num_kept, "joined": self.num_joined, "dropped": dropped}


def _settle(folder: Path, plan: split.Plan) -> _Settled:
    """The second pass: waiting rows to the shards of their splits, the draft to `ledger.jsonl`."""
    settled = _Settled()
    rows = _waiting(folder)
    with (
        (folder / _DRAFT).open(encoding="utf-8") as draft,
        (folder / "ledger.jsonl").open("w", encoding="utf-8") as ledger,
        CorpusWriter(folder) as corpus,
    ):
        for line in draft:
            entry = json.loads(line)
            place = plan.split_of(entry.pop("unit"), entry.pop("brought"))
            if entry["fate"] == "waiting":
                row = next(rows)
                place = plan.split_of(row.unit, row.split or None)
                assert place is not None
                too_long = entry.pop("filter")
                if too_long and place != "test":
                    entry |= {"fate": "dropped", "reason": too_long, "detail": f"{row.duration_s:.2f} s"}
                else:
                    row = dataclasses.replace(row, split=place)
                    corpus.add(row)
                    settled.counts.add(row)
                    settled.num_kept += 1
                    settled.splits_of[row.unit].add(place)
                    entry = _kept(entry, row)
            settled.num_joined += entry["fate"] == "joined"
            if entry["fate"] == "dropped":
                settled.dropped[entry["reason"]] += 1
                settled.examples.setdefault(entry["reason"], f"{entry['where']}: {entry['detail']}")
            ledger.write(json_line({**entry, "split": place}))
        assert next(rows, None) is None
    (folder / _DRAFT).unlink()
    return settled


def _waiting(folder: Path) -> Iterator[Utterance]:
    """The rows of the first pass; a shard that has been read is removed, so that the disk holds rows once."""
    for path in sorted(folder.glob(f"{_WAITING}-*.parquet")):
        yield from read_shard(path)
        path.unlink()
        check_room(folder)


def _kept(entry: dict[str, Any], row: Utterance) -> dict[str, Any]:
    """The ledger's line of a row that is kept: the words are in the corpus, so they are not said twice."""
    line = {name: entry[name] for name in ("source", "where", "recording")}
    flags = {"flags": row.extra["flags"]} if "flags" in row.extra else {}
    return {**line, "fate": "kept", "id": row.id, "start_s": row.start_s, "end_s": row.end_s, **flags}


def _earlier_facts(out: Path) -> dict[str, Any] | None:
    """corpus.json of the corpus that stands in `out`; None where the folder is new or empty.

    Raises:
        InputError: `out` is a file, or a folder with files that are not a corpus's: it would be lost.
    """
    if out.exists() and not out.is_dir():
        raise InputError(f"{out}: a file is in the way; --out is the folder of a corpus.")
    if not out.exists() or not any(out.iterdir()):
        return None
    foreign = sorted(
        path.name
        for path in out.iterdir()
        if path.name not in _OWN_FILES and path.suffix != ".parquet" and not path.name.startswith(".")
    )
    if foreign or not all((out / name).is_file() for name in _OWN_FILES):
        holds = ", ".join(foreign[:5] or sorted(path.name for path in out.iterdir())[:5])
        raise InputError(
            f"{out}: not empty and not (only) a corpus of ours, so it is not overwritten; it holds {holds}. "
            "Give a new folder to --out."
        )
    return read_json(out / "corpus.json")


def _missing(sources: list[Source], pseudonyms: Pseudonyms) -> list[str]:
    """Who was known under the name of a source that is not given."""
    given = {source.name for source in sources}
    absent = Counter(person.source for person in pseudonyms.people if person.source not in given)
    return [  # not its name, which the report would show
        f"speakers.csv has {count} speakers and sessions of a source that is not given. A source is known by the name "
        "of its folder: where that was renamed, the same people are given new pseudonyms and places."
        for _, count in sorted(absent.items())
    ]


def _known_places(out: Path, recipe: SplitRecipe) -> dict[str, str]:
    """The places that split.json gives, those of speakers who were absent last time included."""
    if not (out / "split.json").exists():
        return {}
    content = read_json(out / "split.json")
    known: dict[str, str] = dict(content["absent"])
    for name, kinds in content["splits"].items():
        known |= {unit: name for units in kinds.values() for unit in units}
    # Nobody is wanted any more where the share is 0: who was there is placed anew.
    return {unit: place for unit, place in known.items() if recipe.by == "folds" or getattr(recipe, place)}


def _split_file(recipe: SplitRecipe, plan: split.Plan, settled: _Settled, known: dict[str, str]) -> dict[str, Any]:
    kinds = {"S": "speakers", "V": "sessions", "R": "recordings"}
    splits: dict[str, dict[str, list[str]]] = {
        name: {kind: [] for kind in kinds.values()} for name in settled.counts.as_dict()["splits"]
    }
    for unit, places in sorted(settled.splits_of.items()):
        for place in places:
            splits[place][kinds[unit[0]]].append(unit)
    return {
        "shares": _shares(recipe),
        "by": recipe.by,
        "splits": splits,
        "strata": plan.strata,
        "leaks": plan.leaks,
        "absent": {unit: place for unit, place in sorted(known.items()) if unit not in settled.splits_of},
    }


def _notes(intake: Intake, plan: split.Plan, known: dict[str, str], settled: _Settled, by: str) -> list[str]:
    """What the user should know about the rows and the split."""
    notes = [*intake.times.notes(), *settled.counts.notes()]
    for kind, recordings in intake.num_without_speaker.items():
        if recordings:
            notes.append(f"{len(recordings)} recordings have no speaker: split by {kind}.")
    for unit, splits in plan.leaks.items():
        notes.append(f"Leak: {unit} is in {' and '.join(splits)}; the sources say so, and their split is kept.")
    if plan.parted:
        notes.append(
            f"Leak: {plan.parted} recordings or sessions have speakers in two splits, as the sources or split.json "
            "put them. `smallvoice audit` lists them."
        )
    kept = sum(known.get(unit) == place for unit, place in plan.places.items())
    if kept and by == "strata":
        notes.append(f"{kept} speakers keep the place that split.json gave them; {len(plan.places) - kept} are new.")
    why = "the source says so" if by == "strata" else f"split.by is {by}"
    for unit, place in plan.places.items():
        if known.get(unit, place) != place:
            notes.append(f"{unit} was in {known[unit]} before and is now in {place}: {why}.")
    if plan.carved:
        notes.append("The source brings no dev split: it is taken from its train split.")
    if "train" in settled.counts.splits and "dev" not in settled.counts.splits:
        notes.append("There is no dev split: too few speakers, a share of 0, or none of its speakers is left.")
    return notes


def _nothing_kept(sources: list[Source], settled: _Settled) -> str:
    names = ", ".join(source.name for source in sources)
    reasons = "; ".join(
        f"{reason}: {count}, such as {settled.examples[reason].rstrip(': ')}"
        for reason, count in settled.dropped.most_common()
    )
    return f"{names}: none of {settled.dropped.total()} segments can be kept ({reasons or 'there are none'})."
