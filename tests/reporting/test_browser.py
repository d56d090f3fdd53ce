"""The page in a real browser, used with mouse and keyboard."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from chromium import CHROMIUM, Page, opened
from example_run import rows
from tests.conftest import needs_weights

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.reporting import write_report
from smallvoice.reporting.browser import browser
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_jsonl

MakeRun = Callable[..., Path]
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


def by(name: str) -> str:
    return f"document.getElementById('utterances-{name}')"


def first(what: str = "") -> str:
    return f"{by('list')}.firstElementChild{what}"


def choose(page: Page, name: str, value: str) -> None:
    """An entry of a list, with the arrow keys."""
    page.value(f"{by(name)}.focus()")
    page.press("Home")
    for _ in range(10):
        if page.value(f"{by(name)}.value") == value:
            return
        page.press("ArrowDown")
    raise AssertionError(f"no {value}")


def use(page: Page, word: str) -> dict[str, Any]:
    """Filter, sort and open the list of utterances. Returns what the page says at each step."""
    said = {
        "status": page.value(f"{by('status')}.textContent"),
        "heading": page.value("document.querySelector('h1').textContent"),
    }
    page.click(by("filter"))
    page.type(word)
    said["filtered"] = page.value(f"{by('status')}.textContent")
    for _ in word:
        page.press("Backspace")
    assert page.value(f"{by('status')}.textContent") == said["status"]
    choose(page, "sort", "longest")
    said["longest"] = page.value(f"{first()}.textContent")
    page.click(first(".firstElementChild"))
    said["opened"] = page.value(f"{first()}.querySelectorAll('.aligned .c').length")
    page.value(f"{first('.firstElementChild')}.focus()")
    page.press("Enter")
    said["closed"] = not page.value(f"{first()}.open")
    choose(page, "only", "perfect")
    said["perfect"] = page.value(f"{by('list')}.childElementCount && {first()}.textContent")
    pdf = page.pdf()
    assert pdf.startswith(b"%PDF") and len(pdf) > 20_000
    return said


def assert_quiet(page: Page, path: Path) -> None:
    """Nothing in the console, and nothing asked for but the page itself."""
    assert page.complaints == [] and page.requests == [path.as_uri()]


@needs_chromium
def test_filter_sort_open_and_print(make_run: MakeRun, tmp_path: Path) -> None:
    path = write_report(make_run())
    with opened(path, tmp_path / "profile") as page:
        said = use(page, "rabbits")
        assert said["status"] == "25 of 240 shown"
        assert 0 < int(said["filtered"].split()[2]) < 240
        assert said["opened"] > 2 and said["closed"]
        assert "tuned 0 of" in said["perfect"]
        choose(page, "only", "all")
        page.click(by("more"))
        assert page.value(f"{by('list')}.childElementCount") == 50
        choose(page, "sort", "better")
        counts = re.search(r"base (\d+), tuned (\d+)", page.value(f"{first()}.textContent"))
        assert counts and int(counts[1]) > int(counts[2])
        # The links of the contents lead somewhere, and can be reached by the keyboard.
        page.value("document.querySelector('nav a[href=\"#limits\"]').focus()")
        page.press("Enter")
        assert page.value("location.hash") == "#limits" and page.value("!!document.getElementById('limits')")
        assert page.value("[...document.querySelectorAll('nav a')].every(a => document.querySelector(a.hash))")
        assert_quiet(page, path)


@needs_chromium
def test_what_the_page_did_wrong_would_be_seen(tmp_path: Path) -> None:
    """Otherwise the tests above could not fail."""
    path = tmp_path / "page.html"
    path.write_text(
        "<h1>x</h1><img src='https://example.invalid/x.png'><script>console.error('oh'); missing()</script>",
        encoding="utf-8",
    )
    with opened(path, tmp_path / "profile") as page:
        assert any("example.invalid" in address for address in page.requests)
        assert any("oh" in each for each in page.complaints) and len(page.complaints) >= 2


@pytest.mark.slow
@needs_chromium
@needs_weights("openai/whisper-base")
def test_the_report_of_a_real_run(shared_data: Path, tmp_path: Path) -> None:
    """Six children, the packaged recipe with eight steps: every stage, then the page in the browser."""
    short = ["train.members=1", "train.max_steps=8", "train.batch_size=4", "train.mix=[]", "train.preserve=null"]
    short += ["decode.beams=1", "corpus.split.test=0.34"]
    short += ["corpus.select=age_years == 8 or age_years == 10 or age_years == 13"]
    recipe = recipes.load(recipes.packaged("speechocean762_base"), short)
    verbs.run(recipe, tmp_path / "run", data=shared_data)
    run = RunFolder(tmp_path / "run")
    heard = list(read_jsonl(run.hypotheses("tuned", "test")))
    with opened(run.report, tmp_path / "profile") as page:
        said = use(page, heard[0]["reference"].split()[0].lower())
        assert said["status"] == f"25 of {len(heard)} shown"
        assert 0 < int(said["filtered"].split()[2]) < len(heard)
        assert said["opened"] > 0 and said["closed"]
        assert_quiet(page, run.report)
    assert "data:audio" not in run.report.read_text(encoding="utf-8")


def test_the_content_cannot_end_its_element_and_holds_audio_only_when_given() -> None:
    base, tuned = rows("base", 0.7, utterances=4), rows("tuned", 0.3, utterances=4)
    for each in (base, tuned):
        each[0] |= {"reference": "</script><b>", "language": "fr"}
    held = browser(base, tuned, {})
    assert "<" not in held.content and len(json.loads(held.content)) == 4
    assert all("p" not in one for one in json.loads(held.content))
    heard = json.loads(browser(base, tuned, {base[1]["id"]: b"fLaC"}).content)
    assert [one["p"] for one in heard if "p" in one] == ["data:audio/flac;base64,ZkxhQw=="]
