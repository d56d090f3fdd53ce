"""The page in a real browser: Chromium, headless, driven over its debugging protocol by what it prints."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from example_run import rows
from tests.conftest import needs_weights

from smallvoice import recipe_file as recipes
from smallvoice import verbs
from smallvoice.reporting import write_report
from smallvoice.reporting.browser import browser
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_jsonl

MakeRun = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync"]
FLAGS += ["--disable-background-networking", "--disable-component-update", "--hide-scrollbars"]

DRIVE = """
<script>
window.addEventListener("load", () => {
  const said = {errors: window.errors};
  const by = (name) => document.getElementById(`utterances-${name}`);
  const cards = () => [...by("list").children];
  said.status = by("status").textContent;
  said.first = cards()[0].textContent;
  by("more").click();
  said.more = cards().length;
  by("filter").value = "WORD";
  by("filter").dispatchEvent(new Event("input"));
  said.filtered = by("status").textContent;
  by("filter").value = "";
  by("only").value = "perfect";
  by("only").dispatchEvent(new Event("change"));
  said.perfect = cards()[0].textContent;
  by("only").value = "all";
  by("sort").value = "better";
  by("sort").dispatchEvent(new Event("change"));
  said.better = cards()[0].textContent;
  cards()[0].open = true;
  setTimeout(() => {
    said.opened = cards()[0].querySelectorAll(".aligned .c").length;
    said.requests = performance.getEntriesByType("resource").map((entry) => entry.name);
    document.body.setAttribute("data-said", JSON.stringify(said));
  }, 50);
});
</script>
"""
WATCH = """<script>window.errors = []; window.addEventListener("error", (e) => window.errors.push(e.message));
document.addEventListener("securitypolicyviolation", (e) => window.errors.push(e.violatedDirective));</script>"""

needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium")


def chromium(profile: Path, *arguments: str) -> str:
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={profile}", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=True).stdout


def drive(page: Path, work: Path, word: str) -> dict[str, Any]:
    """What the page's list of utterances says when it is filtered, sorted and opened, and what the page asked for."""
    source = page.read_text(encoding="utf-8")
    # The driver is a script of its own, which only the copy's policy allows.
    driven = re.sub(r"script-src '[^']*'", "script-src 'unsafe-inline'", source)
    driven = driven.replace("<style>", f"{WATCH}<style>", 1)
    driven = driven.replace("</body>", f"{DRIVE.replace('WORD', word)}</body>")
    copy = work / "driven.html"
    copy.write_text(driven, encoding="utf-8")
    shown = chromium(work / "profile", "--virtual-time-budget=4000", "--dump-dom", copy.as_uri())
    found = re.search(r'data-said="([^"]*)"', shown)
    assert found, shown[-500:]
    return dict(json.loads(found[1].replace("&quot;", '"').replace("&amp;", "&")))


def print_to_pdf(page: Path, work: Path) -> None:
    pdf = work / "report.pdf"
    chromium(work / "profile", f"--print-to-pdf={pdf}", page.as_uri())
    assert pdf.read_bytes().startswith(b"%PDF") and pdf.stat().st_size > 20_000


@needs_chromium
def test_filter_sort_open_and_print(make_run: MakeRun, tmp_path: Path) -> None:
    page = write_report(make_run())
    said = drive(page, tmp_path, "rabbits")
    assert said["errors"] == [] and said["requests"] == []
    assert said["status"] == "25 of 240 shown" and said["more"] == 50
    assert 0 < int(said["filtered"].split()[2]) < 240
    assert "tuned 0 of" in said["perfect"]
    counts = re.search(r"base (\d+), tuned (\d+)", said["better"])
    assert counts and int(counts[1]) > int(counts[2])
    assert said["opened"] > 2
    print_to_pdf(page, tmp_path)


@pytest.mark.slow
@needs_chromium
@needs_weights("openai/whisper-base")
def test_the_report_of_a_real_run(shared_data: Path, tmp_path: Path) -> None:
    """Children of eight and nine, the packaged recipe with eight steps: every stage, then the page in the browser."""
    short = ["train.members=1", "train.max_steps=8", "train.batch_size=4", "train.mix=[]", "decode.beams=1"]
    short.append("corpus.select=age_years >= 8 and age_years < 10")
    recipe = recipes.load(recipes.packaged("speechocean762_base"), short)
    verbs.run(recipe, tmp_path / "run", data=shared_data)
    run = RunFolder(tmp_path / "run")
    heard = list(read_jsonl(run.hypotheses("tuned", "test")))
    said = drive(run.report, tmp_path, heard[0]["reference"].split()[0].lower())
    assert said["errors"] == [] and said["requests"] == []
    assert said["status"] == f"25 of {len(heard)} shown"
    assert 0 < int(said["filtered"].split()[2]) < len(heard)
    assert said["opened"] > 0
    assert "data:audio" not in run.report.read_text(encoding="utf-8")
    print_to_pdf(run.report, tmp_path)


@needs_chromium
def test_the_policy_runs_the_page_s_own_script(make_run: MakeRun, tmp_path: Path) -> None:
    page = write_report(make_run())
    shown = chromium(tmp_path / "profile", "--virtual-time-budget=4000", "--dump-dom", page.as_uri())
    assert "25 of 240 shown" in shown


def test_the_content_cannot_end_its_element_and_holds_audio_only_when_given() -> None:
    base, tuned = rows("base", 0.7, utterances=4), rows("tuned", 0.3, utterances=4)
    for each in (base, tuned):
        each[0] |= {"reference": "</script><b>", "language": "fr"}
    held = browser(base, tuned, {})
    assert "<" not in held.content and len(json.loads(held.content)) == 4
    assert all("p" not in one for one in json.loads(held.content))
    heard = json.loads(browser(base, tuned, {base[1]["id"]: b"fLaC"}).content)
    assert [one["p"] for one in heard if "p" in one] == ["data:audio/flac;base64,ZkxhQw=="]
