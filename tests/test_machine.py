"""What the machine says of itself."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from smallvoice import machine
from smallvoice.reporting import facts
from smallvoice.stage_cost import Started


def package(folder: Path, name: str, energy: str, called: str = "package-0") -> None:
    (folder / name).mkdir()
    (folder / name / "name").write_text(f"{called}\n")
    (folder / name / "energy_uj").write_text(energy)
    (folder / name / "max_energy_range_uj").write_text("262143328850\n")


def test_energy_is_the_sum_over_processor_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RAPL", tmp_path)
    monkeypatch.setattr(machine, "_gpu_joules", lambda: None)
    assert machine.energy_j() is None
    package(tmp_path, "intel-rapl:0", "1500000\n")
    package(tmp_path, "intel-rapl:1", "500000\n", "package-1")
    package(tmp_path, "intel-rapl:2", "7000000\n", "psys")  # the platform, in which the packages are counted again
    package(tmp_path, "intel-rapl:0:0", "9000000\n", "core")  # a part of package 0
    assert machine.energy_j() == pytest.approx(2.0)


def test_no_energy_where_a_counter_may_have_begun_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RAPL", tmp_path)
    monkeypatch.setattr(machine, "_gpu_joules", lambda: None)
    assert machine.countable_s() == math.inf
    package(tmp_path, "intel-rapl:0", "1500000\n")
    assert machine.countable_s() == pytest.approx(655, abs=1)  # 262 kJ at 400 W
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("denied")
    assert machine.countable_s() == math.inf, "what is not counted begins nothing anew"
    (tmp_path / "intel-rapl:0" / "energy_uj").write_text("1500000\n")
    started = Started()
    package(tmp_path, "intel-rapl:1", "500000\n", "package-1")
    assert started.cost(None)["energy_j"] == pytest.approx(0.5)
    started.time -= 700
    assert "energy_j" not in started.cost(None)


def test_a_counter_that_cannot_be_read_counts_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "RAPL", tmp_path)
    monkeypatch.setattr(machine, "_gpu_joules", lambda: None)
    package(tmp_path, "intel-rapl:1", "denied")
    (tmp_path / "intel-rapl:0" / "energy_uj").mkdir(parents=True)  # reading it fails, as without permission
    assert machine.energy_j() is None


def test_the_report_shows_energy_where_every_stage_has_it() -> None:
    train = {"seconds": 75.2, "energy_j": 36_000.0, "precision": "bfloat16"}
    stages = {"train": train, "tuned": {"seconds": 4.8, "energy_j": 3_600.0}}
    assert facts.stages({"stages": stages}) == [
        ("train, bfloat16", "1 min 15 s, 10.0 Wh"),
        ("tuned", "4.8 s, 1.0 Wh"),
        ("in all", "1 min 20 s, 11.0 Wh"),
    ]
    del stages["tuned"]["energy_j"]
    assert facts.stages({"stages": stages})[-1] == ("in all", "1 min 20 s")
