"""Which speakers train, which choose the checkpoint, and which are only ever tested.

Pure functions. Within each stratum (gender and age band; strata of fewer than 3 speakers join the next band),
speakers in the order of a hash fill the shares. The hash is of the source and the speaker's name there, so a
place depends neither on the machine nor on the order of files. Places are given once: who has one keeps it,
and speakers who come later fill what their stratum lacks.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from math import floor

from smallvoice.errors import InputError

SPLITS = ("train", "dev", "test")
MIN_STRATUM = 3
"""Speakers: fewer cannot fill three splits."""

_BANDS = ((5, "0-4"), (8, "5-7"), (11, "8-10"), (14, "11-13"), (18, "14-17"))
_RANK = {"test": 0, "dev": 1, "train": 2}
"""Who gets the odd speaker when shares are equally short: in a test set one more speaker is worth most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Unit:
    """What stays in one split as a whole: a speaker; where unknown, a session; else a recording."""

    name: str
    """Its pseudonym."""
    order: str
    """`hash_order` of its source and name."""
    age_years: float | None = None
    gender: str | None = None
    brought: frozenset[str] = frozenset()
    """The splits that its source puts it in; empty: none."""
    may_be_dev: bool = False
    """Its source brings train but no dev, so dev is taken from train."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Plan:
    """Where everyone goes."""

    places: dict[str, str]
    """Unit -> split, but for units that their source puts in several."""
    carved: frozenset[str]
    """Units of a source's train whose place was chosen between train and dev."""
    leaks: dict[str, list[str]]
    """Unit -> the splits that its source puts it in, where these are several."""
    parted: int = 0
    """Recordings and sessions whose speakers are in different splits."""
    strata: list[dict[str, str | int]] = field(default_factory=list)
    """One row a stratum: its name and the number of units in each split."""

    def split_of(self, unit: str | None, brought: str | None) -> str | None:
        """The split of a row of `unit` that its source puts in `brought`; None where nobody knows."""
        if brought is not None and not (brought == "train" and unit in self.carved):
            return brought
        return self.places.get(unit or "")


def hash_order(source: str, name: str) -> str:
    """The place of a speaker in the queue: equal on every machine, unrelated to the name."""
    return hashlib.sha256(f"{source}\0{name}".encode()).hexdigest()


def age_band(age_years: float | None) -> str:
    """`0-4`, `5-7`, `8-10`, `11-13`, `14-17`, `adult` or `unknown`."""
    if age_years is None:
        return "unknown"
    return next((name for limit, name in _BANDS if age_years < limit), "adult")


def plan(
    units: Iterable[Unit],
    shares: Mapping[str, float],
    known: Mapping[str, str],
    *,
    together: Iterable[Iterable[str]] = (),
    by: str = "strata",
    folds: tuple[int, int] = (1, 5),
) -> Plan:
    """Give every unit its split.

    Args:
        shares: the share of each split; only their ratios count.
        known: places given before, by unit.
        together: names of units that share a recording or session, and so a split.
        by: `strata`, `hash` or `folds`, as in `recipe.SplitRecipe`; `known` places count for `strata` only.
        folds: which fold is test, from 1, and how many there are.

    Raises:
        InputError: fewer units than splits to fill.
    """
    everyone = sorted(units, key=lambda unit: unit.order)
    new = [unit for unit in everyone if not unit.brought]
    carvable = [unit for unit in everyone if unit.brought == {"train"} and unit.may_be_dev]
    if not shares["dev"] or len(carvable) < 2:
        carvable = []
    together = [list(names) for names in together]
    beside = _beside_brought(everyone, together)
    new = [unit for unit in new if unit.name not in beside]
    groups = _tied(new, together)
    if by == "folds":
        new_places = _of_folds([group[0] for group in groups], *folds)
    elif by == "hash":
        new_places = {group[0].name: _of_hash(group[0], shares) for group in groups}
    else:
        # A group is where its first known member is; who is known elsewhere stays there, and is a leak.
        at = {group[0].name: known[unit.name] for group in groups for unit in group[::-1] if unit.name in known}
        if not all(group[0].name in at for group in groups):
            brought = {split for unit in everyone for split in unit.brought}
            require_enough(len(groups), shares, brought, len(new))
        new_places = assign([group[0] for group in groups], shares, at)
    placed = {unit.name: new_places[group[0].name] for group in groups for unit in group}
    if by == "strata":
        placed |= {unit.name: known[unit.name] for unit in new if unit.name in known}
    # Where a source puts someone in two splits, what it leaves open goes where it can do least harm.
    places = {unit.name: min(unit.brought, key=_RANK.__getitem__) for unit in everyone if unit.brought}
    places |= placed
    between = {name: share for name, share in shares.items() if name != "test"}
    carved = _tied(carvable, together)
    if by == "hash":
        chosen = {group[0].name: _of_hash(group[0], between) for group in carved}
    else:
        at = {group[0].name: known[u.name] for group in carved for u in group[::-1] if known.get(u.name) in between}
        chosen = assign([group[0] for group in carved], between, at)
    places |= {unit.name: chosen[group[0].name] for group in carved for unit in group}
    # Last, for whom they were recorded with may have just been given a place.
    places |= {name: min((places[other] for other in others), key=_RANK.__getitem__) for name, others in beside.items()}
    return Plan(
        places=places,
        carved=frozenset(unit.name for unit in carvable),
        leaks={unit.name: sorted(unit.brought) for unit in everyone if len(unit.brought) > 1},
        parted=sum(len({places[name] for name in names if name in places}) > 1 for names in together),
        strata=[row for pool in (new, carvable) for row in _table(pool, places)],
    )


def _beside_brought(everyone: list[Unit], together: Iterable[Iterable[str]]) -> dict[str, list[str]]:
    """Who has no split but was recorded with somebody whose source brings one, and with whom."""
    by_name = {unit.name: unit for unit in everyone}
    found: dict[str, list[str]] = {}
    for group in _tied(everyone, together):
        brought = [unit.name for unit in group if by_name[unit.name].brought]
        if brought:
            found |= {unit.name: brought for unit in group if not unit.brought}
    return found


def _tied(units: list[Unit], together: Iterable[Iterable[str]]) -> list[list[Unit]]:
    """Units in groups that must not be parted, each in hash order: the connected components of `together`."""
    parent = {unit.name: unit.name for unit in units}

    def root(name: str) -> str:
        while parent[name] != name:
            parent[name] = name = parent[parent[name]]
        return name

    for names in together:
        first, *others = [name for name in names if name in parent] or [""]
        for other in others:
            parent[root(other)] = root(first)
    groups: dict[str, list[Unit]] = defaultdict(list)
    for unit in units:
        groups[root(unit.name)].append(unit)
    return sorted(groups.values(), key=lambda group: group[0].order)


def _of_hash(unit: Unit, shares: Mapping[str, float]) -> str:
    """The split of a unit by its hash alone: it never depends on who else is there."""
    position = Fraction(int(unit.order, 16), 16 ** len(unit.order)) * sum(_exact(share) for share in shares.values())
    for split in ("test", "dev"):
        position -= _exact(shares.get(split, 0.0))
        if position < 0:
            return split
    return "train"


def _of_folds(units: list[Unit], fold: int, num_folds: int) -> dict[str, str]:
    """Fold `fold` is test, the next one dev. Within each stratum folds are dealt in turn."""
    if len(units) < num_folds:
        raise InputError(
            f"Too few speakers for {num_folds} folds: {len(units)}, not counting those whose split the sources give. "
            "Take fewer (--folds; split.folds in a recipe)."
        )
    dealt = enumerate(unit for stratum in strata(units) for unit in stratum)
    role = {fold - 1: "test", fold % num_folds: "dev"}
    return {unit.name: role.get(number % num_folds, "train") for number, unit in dealt}


def require_enough(
    num_units: int, shares: Mapping[str, float], brought: Collection[str] = (), num_speakers: int | None = None
) -> None:
    """See that every split can get someone.

    Args:
        brought: splits that the sources fill themselves.
        num_speakers: how many there are, where some share recordings and so make fewer units.

    Raises:
        InputError: fewer units than splits to fill.
    """
    num_splits = sum(share > 0 and name not in brought for name, share in shares.items())
    if num_units < num_splits and num_speakers is not None and num_speakers >= num_splits:
        raise InputError(
            f"{num_speakers} speakers share recordings or sessions, which makes {num_units} groups that stay "
            f"together, too few for {num_splits} splits. Choose whose speech to keep (--roles child), or give "
            "more recordings, or put all of them into one split: --split test"
        )
    if num_units < num_splits:
        raise InputError(
            f"Too few speakers to split: {num_units} for {num_splits} splits (a speaker is in one split only; "
            "where speakers are unknown, sessions or recordings count instead). Add recordings of more "
            "people, or put all of them into one split: --split test"
        )


def assign(units: list[Unit], shares: Mapping[str, float], known: Mapping[str, str]) -> dict[str, str]:
    """Places of `units`. Totals are the shares rounded (largest remainders), as far as `known` places allow.

    In each stratum every split first gets its share rounded down. Who is left over goes where the strata so
    far are shortest, among the splits whose total is not reached. With 3 units or more, no split with a share
    stays empty.
    """
    total = sum(_exact(share) for share in shares.values())
    if not units or not total:
        return {}
    exact = {split: _exact(share) / total for split, share in shares.items() if share}
    places = {unit.name: known[unit.name] for unit in units if unit.name in known}
    counts = Counter(places.values())
    wanted = _rounded(len(units), exact)
    groups = strata(units)
    for stratum in groups:
        counts += _fill_quotas(stratum, exact, places)
    # Now every stratum has its quotas, and who has no place is left over.
    so_far: Counter[str] = Counter()
    num_so_far = 0
    for stratum in groups:
        num_so_far += len(stratum)
        so_far += Counter(places[unit.name] for unit in stratum if unit.name in places)
        for unit in stratum:
            if unit.name not in places:
                lacks = {split: share * num_so_far - so_far[split] for split, share in exact.items()}
                open_splits = [split for split in exact if counts[split] < wanted[split]] or list(exact)
                split = max(open_splits, key=lambda name: (lacks[name], -_RANK[name]))
                places[unit.name] = split
                so_far[split] += 1
                counts[split] += 1
    _fill_empty([unit.name for unit in units if unit.name not in known], places, exact)
    return places


def _fill_quotas(stratum: list[Unit], exact: Mapping[str, Fraction], places: dict[str, str]) -> Counter[str]:
    """Bring every split to its share of a stratum, rounded down, with newcomers; count them."""
    here = Counter(places[unit.name] for unit in stratum if unit.name in places)
    given: Counter[str] = Counter()
    for unit in stratum:
        lacks = {split: floor(len(stratum) * share) - here[split] - given[split] for split, share in exact.items()}
        split = max(lacks, key=lambda name: (lacks[name], -_RANK[name]))
        if unit.name not in places and lacks[split] > 0:
            places[unit.name] = split
            given[split] += 1
    return given


def strata(units: Iterable[Unit]) -> list[list[Unit]]:
    """Units by gender and age band, in hash order.

    Fewer than 3 join the next band of their gender, the last ones the band before; a gender of fewer than 3
    in all joins another.
    """
    bands = [name for _, name in _BANDS] + ["adult", "unknown"]
    cells: dict[str, dict[int, list[Unit]]] = defaultdict(lambda: defaultdict(list))
    for unit in units:
        cells[unit.gender or "unknown"][bands.index(age_band(unit.age_years))].append(unit)
    of_genders = [_merged([by_band[band] for band in sorted(by_band)]) for _, by_band in sorted(cells.items())]
    whole = [stratum for merged in of_genders for stratum in merged]
    return [sorted(stratum, key=lambda unit: unit.order) for stratum in _merged(whole)]


def _merged(cells: list[list[Unit]]) -> list[list[Unit]]:
    """Cells of fewer than 3 join the next one, the last one the one before."""
    merged: list[list[Unit]] = []
    carried: list[Unit] = []
    for cell in cells:
        carried = carried + cell
        if len(carried) >= MIN_STRATUM:
            merged.append(carried)
            carried = []
    if carried and merged:
        merged[-1] = merged[-1] + carried
    return merged or ([carried] if carried else [])


def _fill_empty(newcomers: list[str], places: dict[str, str], exact: Mapping[str, Fraction]) -> None:
    """Give a split that rounding left empty a newcomer of the largest one."""
    for empty in sorted(exact, key=_RANK.__getitem__):
        counts = Counter(places.values())
        donors = [name for name in newcomers if counts[places[name]] > 1]
        if not counts[empty] and donors:
            places[max(donors, key=lambda name: (counts[places[name]], name))] = empty


def _rounded(number: int, exact: Mapping[str, Fraction]) -> dict[str, int]:
    """`number` divided by shares, by largest remainders: every part is within 1 of its share."""
    parts = {split: floor(number * share) for split, share in exact.items()}
    by_remainder = sorted(exact, key=lambda split: (parts[split] - number * exact[split], _RANK[split]))
    for split in by_remainder[: number - sum(parts.values())]:
        parts[split] += 1
    return parts


def _table(pool: list[Unit], places: Mapping[str, str]) -> list[dict[str, str | int]]:
    rows: list[dict[str, str | int]] = []
    for stratum in strata(pool):
        cells = sorted({f"{unit.gender or 'unknown'} {age_band(unit.age_years)}" for unit in stratum})
        counts = Counter(places[unit.name] for unit in stratum)
        rows.append({"stratum": " + ".join(cells), **{split: counts[split] for split in SPLITS}})
    return rows


def _exact(share: float) -> Fraction:
    """0.7 as seven tenths, so that 0.7 × 10 is 7."""
    return Fraction(str(share))
