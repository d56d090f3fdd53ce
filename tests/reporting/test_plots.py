from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from smallvoice.reporting import curves, plots

LEVELS = [
    plots.Level("5–7\n3 speakers, 40 words", 80.0, 30.0, (70.0, 90.0), (25.0, 36.0)),
    plots.Level("adults\n1 speaker, 9 words", 250.0, 300.0, None, None),
]


def test_a_plot_is_well_formed_text_in_the_pages_colours() -> None:
    svg = plots.age_levels(LEVELS, 'WER <fell> & "rose"')
    root = ElementTree.fromstring(svg)
    assert root.attrib["role"] == "img"
    assert root[1].text == 'WER <fell> & "rose"'
    assert "3 speakers, 40 words" in "".join(root.itertext())
    assert "var(--base)" in svg and "var(--tuned)" in svg
    assert not re.search(r"#0102|#000000|DejaVu|<style", svg)
    assert all(name.startswith("ages-") for name in re.findall(r'\bid="([^"]*)"', svg))


def test_plots_are_the_same_every_time() -> None:
    assert plots.age_levels(LEVELS, "x") == plots.age_levels(LEVELS, "x")


def step(number: int, loss: float, **more: object) -> dict[str, object]:
    return {"kind": "step", "step": number, "loss": loss, **more}


def dev(number: int, errors: int, best: bool, **more: object) -> dict[str, object]:
    counts = {"words": 100, "insertions": 0, "deletions": 0, "substitutions": errors, "wer": errors / 100}
    return {"kind": "dev", "step": number, "best": best, **counts, **more}


def test_training_is_told_in_a_sentence_and_a_table() -> None:
    found = curves.training([step(1, 2.0), step(2, 1.0), dev(2, 40, True), step(3, 0.5), dev(3, 44, False)])
    assert found is not None and found.loss is not None and found.dev is not None
    assert found.sentence.startswith("3 steps; loss 2.00 → 0.50 per token. Word error rate on dev 40.0 %")
    assert found.evaluations == [("2", "40.0 %", "40 of 100", True), ("3", "44.0 %", "44 of 100", False)]


def test_members_are_lines_of_their_own() -> None:
    metrics = [step(n, 1.0 / n, member=m) for m in (0, 1) for n in (1, 2, 3)]
    metrics += [dev(3, 40 + m, True, member=m) for m in (0, 1)]
    assert [len(rows) for rows in curves.by_member(metrics)] == [4, 4]
    found = curves.training(metrics)
    assert found is not None and "3 steps by each of 2 members" in found.sentence
    assert [row[0] for row in found.evaluations] == ["3 (member 1)", "3 (member 2)"]


@pytest.mark.parametrize("metrics", [[], [{"kind": "else"}], [step(1, float("nan"))]])
def test_no_metrics_no_section(metrics: list[dict[str, object]]) -> None:
    assert curves.training(metrics) is None


def test_one_step_has_no_curve_but_a_sentence() -> None:
    found = curves.training([step(1, 2.0)])
    assert found is not None and found.loss is None and found.dev is None and "1 step" in found.sentence


def test_long_runs_are_thinned_without_losing_the_end() -> None:
    steps, values = curves.thinned(list(range(1, 10_001)), [float(n) for n in range(10_000)], limit=600)
    assert len(steps) == len(values) <= 600 and steps[-1] == 10_000
    assert values[0] == sum(range(17)) / 17


def test_running_mean_looks_only_back() -> None:
    assert plots.running_mean([4.0, 2.0, 0.0]) == [4.0, 3.0, 2.0]
    assert plots.running_mean([1.0] * 5 + [6.0])[-1] == 2.0
