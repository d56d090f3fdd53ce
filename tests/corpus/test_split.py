from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from smallvoice.corpus.split import Unit, age_band, assign, hash_order, plan, strata
from smallvoice.errors import InputError

SHARES = {"train": 0.7, "dev": 0.1, "test": 0.2}


def _units(number: int, ages: list[float | None] | None = None, genders: str = "fm", first: int = 0) -> list[Unit]:
    return [
        Unit(
            name=f"S{index:04d}",
            order=hash_order("lab", str(index)),
            age_years=ages[index % len(ages)] if ages else None,
            gender=genders[index % len(genders)] if genders else None,
        )
        for index in range(first, first + number)
    ]


def _counts(places: dict[str, str]) -> tuple[int, int, int]:
    found = Counter(places.values())
    return found["train"], found["dev"], found["test"]


@pytest.mark.parametrize(
    ("number", "expected"),
    [(3, (1, 1, 1)), (4, (2, 1, 1)), (5, (3, 1, 1)), (10, (7, 1, 2)), (58, (40, 6, 12)), (100, (70, 10, 20))],
)
def test_totals(number: int, expected: tuple[int, int, int]) -> None:
    assert _counts(assign(_units(number, ages=[6, 9, 12]), SHARES, {})) == expected


people = st.lists(
    st.tuples(st.one_of(st.none(), st.floats(1, 60)), st.sampled_from(["f", "m", None])), min_size=3, max_size=70
)


def _people(drawn: list[tuple[float | None, str | None]]) -> list[Unit]:
    return [
        Unit(name=f"S{index:04d}", order=hash_order("lab", str(index)), age_years=age, gender=gender)
        for index, (age, gender) in enumerate(drawn)
    ]


share_of = st.integers(1, 10)


@given(people, st.tuples(share_of, share_of, share_of))
@settings(deadline=None)
def test_everyone_has_one_place_and_totals_are_near_the_shares(
    drawn: list[tuple[float | None, str | None]], parts: tuple[int, int, int]
) -> None:
    units = _people(drawn)
    shares = dict(zip(SHARES, (part / 10 for part in parts), strict=True))
    places = assign(units, shares, {})
    assert set(places) == {unit.name for unit in units}
    found = Counter(places.values())
    assert set(found) == {"train", "dev", "test"}
    for split, share in shares.items():
        exact = len(units) * share / sum(shares.values())
        # One more or less where a split would otherwise be empty.
        assert abs(found[split] - exact) < (1 if exact >= 1 and min(found.values()) > 1 else 2)
    for stratum in strata(units):
        here = Counter(places[unit.name] for unit in stratum)
        for split, share in shares.items():
            assert here[split] >= int(len(stratum) * share / sum(shares.values())) - 1


@given(people, people)
@settings(deadline=None)
def test_known_places_stay_and_newcomers_come_near_the_shares(
    before: list[tuple[float | None, str | None]], after: list[tuple[float | None, str | None]]
) -> None:
    everyone = _people(before + after)
    known = assign(everyone[: len(before)], SHARES, {})
    places = assign(everyone, SHARES, known)
    assert {name: places[name] for name in known} == known
    assert set(places) == {unit.name for unit in everyone}
    found = Counter(places.values())
    for split, share in SHARES.items():
        assert found[split] >= int(len(everyone) * share) - len(strata(everyone)) - 1


@given(people, st.randoms())
@settings(deadline=None)
def test_the_order_of_files_does_not_matter(drawn: list[tuple[float | None, str | None]], random: object) -> None:
    units = _people(drawn)
    shuffled = sorted(units, key=lambda unit: hash_order(str(random), unit.name))
    assert assign(units, SHARES, {}) == assign(shuffled, SHARES, {})


def test_the_hash_does_not_depend_on_the_machine() -> None:
    assert hash_order("speechocean762", "0001").startswith("ebb5469f")
    assert hash_order("a", "bc") != hash_order("ab", "c")


def test_places_do_not_depend_on_who_else_has_a_name() -> None:
    """Pseudonyms may change; places go by the hash."""
    units = _units(20, ages=[7])
    renamed = [Unit(name=f"X{unit.name}", order=unit.order, age_years=7, gender=unit.gender) for unit in units]
    assert {f"X{name}": split for name, split in assign(units, SHARES, {}).items()} == assign(renamed, SHARES, {})


def test_age_bands() -> None:
    ages = [0, 4.9, 5, 7.5, 8, 11, 14, 17.9, 18, 70, None]
    expected = ["0-4", "0-4", "5-7", "5-7", "8-10", "11-13", "14-17", "14-17", "adult", "adult", "unknown"]
    assert [age_band(age) for age in ages] == expected


def test_small_strata_join_the_next_band_of_their_gender() -> None:
    ages = {"f": [4.0, 4, 6, 9, 9, 9, 12], "m": [6.0, 6, 6]}
    units = [
        Unit(name=f"{gender}{index}", order=f"{gender}{index}", age_years=age, gender=gender)
        for gender, numbers in ages.items()
        for index, age in enumerate(numbers)
    ]
    found = [[unit.name for unit in stratum] for stratum in strata(units)]
    assert found == [["f0", "f1", "f2"], ["f3", "f4", "f5", "f6"], ["m0", "m1", "m2"]]


def test_newcomers_fill_what_their_stratum_lacks() -> None:
    girls = _units(10, ages=[6], genders="f")
    known = {unit.name: "train" for unit in girls}
    places = assign(girls + _units(3, ages=[6], genders="f", first=10), SHARES, known)
    assert sorted(places[f"S{index:04d}"] for index in (10, 11, 12)) == ["dev", "test", "test"]


def test_too_few() -> None:
    with pytest.raises(InputError, match=r"2 for 3 splits .* --split test"):
        plan(_units(2), SHARES, {})
    assert _counts(plan(_units(2), {"train": 0.5, "dev": 0, "test": 0.5}, {}).places) == (1, 0, 1)
    # Who has a place already needs no split.
    assert plan(_units(2), SHARES, {"S0000": "train", "S0001": "test"}).places["S0001"] == "test"


def _brought(name: str, *splits: str) -> Unit:
    return Unit(name=name, order=hash_order("lab", name), brought=frozenset(splits), may_be_dev=True)


def test_dev_is_taken_from_train_where_a_source_brings_none() -> None:
    train = [_brought(f"S{index:04d}", "train") for index in range(16)]
    test = [_brought(f"S1{index:03d}", "test") for index in range(4)]
    found = plan(train + test, SHARES, {})
    assert _counts(found.places) == (14, 2, 4)
    (dev, *_) = [name for name, split in found.places.items() if split == "dev"]
    assert found.split_of(dev, "train") == "dev"
    assert all(found.split_of(unit.name, "test") == "test" for unit in test)
    again = plan([*train, *test, _brought("S2000", "train")], SHARES, found.places)
    assert {name: again.places[name] for name in found.places} == found.places


def test_a_dev_split_that_is_brought_is_not_added_to() -> None:
    units = [_brought(f"S{index:04d}", split) for index, split in enumerate(["train", "train", "dev", "test"])]
    units = [Unit(name=unit.name, order=unit.order, brought=unit.brought, may_be_dev=False) for unit in units]
    assert _counts(plan(units, SHARES, {}).places) == (2, 1, 1)


def test_a_leak_is_reported_and_the_sources_split_kept() -> None:
    found = plan(
        [_brought("S0001", "train", "test"), _brought("S0002", "train"), _brought("S0003", "test")], SHARES, {}
    )
    assert found.leaks == {"S0001": ["test", "train"]}
    assert found.split_of("S0001", "train") == "train"
    assert found.split_of("S0001", "test") == "test"


def test_nobody_knows() -> None:
    found = plan(_units(3), SHARES, {})
    assert found.split_of(None, None) is None
    assert found.split_of("S9999", None) is None
    assert found.split_of(None, "test") == "test"


def test_by_hash_nobody_moves_whoever_comes() -> None:
    before = plan(_units(40), SHARES, {}, by="hash").places
    after = plan(_units(400), SHARES, {}, by="hash").places
    assert before.items() <= after.items()
    assert plan(_units(40), SHARES, dict.fromkeys(before, "train"), by="hash").places == before
    train, dev, test = _counts(after)
    # Three standard deviations of a binomial of 400.
    assert abs(train - 280) < 28 and abs(dev - 40) < 18 and abs(test - 80) < 24


def test_folds_test_everyone_once_in_like_strata() -> None:
    units = _units(23, ages=[6, 9])
    found = [plan(units, SHARES, {}, by="folds", folds=(fold, 5)).places for fold in range(1, 6)]
    tested = Counter(unit for places in found for unit, split in places.items() if split == "test")
    assert tested == Counter(unit.name for unit in units)
    for places, following in zip(found, [*found[1:], found[0]], strict=True):
        assert {u for u, split in places.items() if split == "dev"} == {
            u for u, split in following.items() if split == "test"
        }
        young = [unit.name for unit in units if unit.age_years == 6]
        assert 2 <= sum(places[name] == "test" for name in young) <= 3
    with pytest.raises(InputError, match=r"Too few speakers for 5 folds: 4"):
        plan(_units(4), SHARES, {}, by="folds", folds=(1, 5))


def test_units_that_share_a_recording_share_a_split() -> None:
    units = _units(30, ages=[6, 9])
    pairs = [[f"S{2 * number:04d}", f"S{2 * number + 1:04d}"] for number in range(15)]
    places = plan(units, SHARES, {}, together=pairs).places
    assert all(places[one] == places[other] for one, other in pairs)
    assert min(_counts(places)) >= 2
    # Who came later and shares with someone known goes where that one is.
    known = {name: split for name, split in places.items() if name != "S0001"}
    assert plan(units, SHARES, known, together=pairs).places == places
    with pytest.raises(InputError, match=r"30 speakers share recordings.*1 groups.*--roles child"):
        plan(units, SHARES, {}, together=[[unit.name for unit in units]])


def test_who_is_recorded_with_brought_people_goes_with_them() -> None:
    """Dev is taken from train whole recordings at a time; strangers follow those whose split the source gives."""
    train = [_brought(f"S{number:04d}", "train") for number in range(20)]
    pairs = [[f"S{2 * number:04d}", f"S{2 * number + 1:04d}"] for number in range(10)]
    places = plan([*train, _brought("S1000", "test")], SHARES, {}, together=pairs).places
    assert "dev" in places.values()
    assert all(places[one] == places[other] for one, other in pairs)
    strangers = _units(8, first=100)
    beside = [[unit.name, "S1000"] for unit in strangers[:2]]
    places = plan([*strangers, _brought("S1000", "test")], SHARES, {}, together=beside).places
    assert {places[unit.name] for unit in strangers[:2]} == {"test"}
