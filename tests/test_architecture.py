"""The house: imports point up the list of DESIGN, nothing above model/ needs torch, files stay small."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "smallvoice"
ORDER = [
    "errors",
    "languages",
    "storage",
    "recipe_types",
    "recipe",
    "yaml_file",
    "recipe_file",
    "run_folder",
    "machine",
    "stage_cost",
    "terminal",
    "corpus",
    "scoring",
    "reporting",
    "judging",
]
ORDER += [
    "model",
    "decoding",
    "training",
    "exporting",
    "uploads",
    "publishing",
    "doctor",
    "verbs",
    "using",
    "pipeline",
    "folds",
    "studies",
    "cli_app",
    "cli_corpus",
    "cli_study",
    "cli_use",
    "cli",
    "__main__",
]
TORCH_FREE = ORDER[: ORDER.index("model")]
FILES = sorted(SOURCE.rglob("*.py"))


def part(path: Path) -> str:
    """The place in `ORDER` that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports(path: Path) -> set[str]:
    """The parts of smallvoice that a file imports, when it is loaded or later."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)]
        else:
            continue
        found |= {name.split(".")[1] for name in names if name.startswith("smallvoice.")}
    return found & set(ORDER)


def test_every_part_has_a_place() -> None:
    assert {part(path) for path in FILES} - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_imports_point_up(path: Path) -> None:
    if part(path) == "__init__":
        return
    allowed = ORDER[: ORDER.index(part(path)) + 1]
    if part(path) == "verbs":
        allowed = [*allowed, "pipeline", "folds"]  # `run` is a verb, made of verbs
    assert imports(path) <= set(allowed)


def test_what_stands_above_model_works_without_torch() -> None:
    modules = [
        ".".join(("smallvoice", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__")
        for path in FILES
        if part(path) in (*TORCH_FREE, "uploads", "publishing", "verbs", "using", "studies")
        or part(path).startswith("cli")
    ]
    assert len(modules) > 20
    check = (
        f"import importlib, sys; [importlib.import_module(name) for name in {modules!r}];"
        "assert not {'torch', 'transformers', 'peft', 'accelerate'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", check], check=True)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert text.count("\n") <= 350
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 70, f"{node.name} is too long"


def test_nothing_unpickles() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert "import pickle" not in text, path
        assert "torch.load(" not in text, path
