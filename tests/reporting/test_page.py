"""The page as a reader gets it: read back with an HTML parser, from a run folder made of text."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import pytest
from example_run import rows

from smallvoice.errors import InputError
from smallvoice.reporting import write_report
from smallvoice.run_folder import RunFolder
from smallvoice.storage import file_digest, read_json, write_json, write_jsonl

MakeRun = Callable[..., Path]

VOID = {"meta", "br", "link", "img", "hr", "input"}


class Page(HTMLParser):
    """Visible text, tags, ids and links of a page; fails on tags that are closed out of order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert not self.open
        self.text = re.sub(r"\s+", " ", "".join(self.words))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name == "id":
                self.ids.append(value or "")
            if name in ("href", "src", "xlink:href"):
                self.links.append(value or "")

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title", "desc", "script"} & set(self.open):
            self.words.append(data)


def page_of(run: Path, corpus: Path | None = None) -> Page:
    return Page(write_report(run, corpus).read_text(encoding="utf-8"))


def test_the_page_tells_the_whole_run(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    comparison = read_json(RunFolder(run).comparison)
    normalised = comparison["overall"]["normalised"]
    assert f"{-100 * normalised['relative']['change']:.0f} % fewer word errors" in page.text
    for side in ("a", "b"):
        assert f"{100 * normalised[side]['wer']:.1f} %" in page.text
        assert f"{normalised[side]['deletions']:,}" in page.text
    assert comparison["formatting"]["sentence"] in page.text
    for words in (
        "5–7",
        "The 20 utterances with the most errors",
        "dropped: not selected",
        "1,340",
        "train 40 speakers; dev 4 speakers; test 14 speakers",
        "1,179,648",
        "decoding: window margin",
        "tokens per s10",
        "31 min 40 s",
        "learning_rate: 0.001",
        "smallvoice run recipe.yaml",
        "saw none of the utterances and none of the speakers",
    ):
        assert words in page.text, words
    assert "Synthetic" not in page.text


def test_it_opens_offline_and_is_small(make_run: MakeRun) -> None:
    path = write_report(make_run())
    source = path.read_text(encoding="utf-8")
    page = Page(source)
    assert path.name == "report.html" and path.stat().st_size < 1_000_000
    assert {"link", "img", "audio", "iframe"}.isdisjoint(page.tags)
    assert page.tags.count("script") == 2, "the browser's data and its code, which the page's policy knows by its hash"
    assert "script-src 'sha256-" in source and "data:audio" not in source
    assert all(link.startswith("#") for link in page.links)
    assert {link[1:] for link in page.links} <= set(page.ids)
    assert len(page.ids) == len(set(page.ids))
    assert "url(http" not in source and "@import" not in source
    assert "prefers-color-scheme: dark" in source and "@media print" in source


def test_many_utterances_fit_on_the_page(make_run: MakeRun) -> None:
    base, tuned = (rows(name, rate, speakers=60, utterances=2_300) for name, rate in (("base", 0.7), ("tuned", 0.3)))
    path = write_report(make_run(base, tuned))
    assert path.stat().st_size < 3_000_000
    assert "The page holds the 2,000 with the most errors of 2,300" in Page(path.read_text(encoding="utf-8")).text


def test_long_utterances_fit_on_the_page_too(make_run: MakeRun) -> None:
    base, tuned = (rows(name, rate, speakers=60, utterances=1_500) for name, rate in (("base", 0.7), ("tuned", 0.3)))
    for each in (*base, *tuned):
        # Long words: of short ones it takes four times as many to fill a page, and a minute to align them.
        each |= {name: " ".join(10 * word for word in 2 * each[name].split()) for name in ("reference", "hypothesis")}
    path = write_report(make_run(base, tuned))
    assert path.stat().st_size < 3_000_000
    found = re.search(r"The page holds the ([\d,]+) with the most errors of 1,500", Page(path.read_text("utf-8")).text)
    assert found and 300 < int(found[1].replace(",", "")) < 1_500


def test_groups_of_few_speakers_are_shown_and_not_compared(make_run: MakeRun) -> None:
    """Two of eight years with nothing in common: their interval would reach to a million per cent."""
    base, tuned = rows("base", 0.7), rows("tuned", 0.3)
    for number, pair in enumerate(zip(base, tuned, strict=True)):
        for each in pair:
            each["age_years"] = 9.0 if number % 14 in (0, 1) else 6.0
        if number % 14 == 0:
            pair[0]["hypothesis"] = pair[0]["reference"]
        elif number % 14 == 1:
            pair[0]["hypothesis"] = " ".join(3 * [pair[0]["reference"]])
    source = write_report(make_run(base, tuned)).read_text(encoding="utf-8")
    ages = source[source.index('<section id="ages">') : source.index('<section id="groups">')]
    few = re.search(r'<tr class="few"><th scope="row">8–10 <small>few</small></th>(.*?)</tr>', ages)
    assert few and few[1].endswith("<td>–</td><td>–</td>") and few[1].count("%") == 2
    ticks = [float(tick) for tick in re.findall(r">(\d+)</text>", ages)]
    assert ticks and max(ticks) <= 200, "the axis ends where the rates do"


def test_speech_that_lost_too_much_turns_the_verdict_red(make_run: MakeRun) -> None:
    run = make_run()
    source = write_report(run).read_text(encoding="utf-8")
    assert re.search(r'<h1 class="better">', source) and 'tr class="lost"' not in source
    comparison = read_json(RunFolder(run).comparison)
    lost = {**comparison["overall"]["normalised"], "utterances": 9, "speakers": 9, "lost": True}
    write_json(RunFolder(run).comparison, {**comparison, "retention": {"adults": lost}})
    source = write_report(run).read_text(encoding="utf-8")
    assert re.search(r'<h1 class="better red">', source)
    assert '<tr class="lost"><th scope="row">adults <small>lost too much</small>' in source


def test_a_comparison_of_another_version_is_refused(make_run: MakeRun) -> None:
    run = make_run()
    write_json(RunFolder(run).comparison, {"split": "test"})
    with pytest.raises(InputError, match="Compare again"):
        write_report(run)


def test_limits_hashes_and_whole_utterances_are_told(make_run: MakeRun) -> None:
    run = make_run()
    page = page_of(run)
    details = read_json(RunFolder(run).comparison)["details"]["b"]
    assert f"{100 * details['cer']['cer']:.1f} %" in page.text and f"{details['perfect']} (" in page.text
    assert "do not decide about a child by what it writes alone" in page.text
    assert file_digest(RunFolder(run).recipe) in page.text


def test_the_same_run_gives_the_same_page(make_run: MakeRun) -> None:
    run = make_run()
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_synthetic_speech_is_announced_first(make_run: MakeRun) -> None:
    page = page_of(make_run(synthetic=True))
    banner = "Synthetic speech: these numbers say nothing about children"
    assert -1 < page.text.index(banner) < page.text.index("fewer word errors")


def test_no_place_and_no_name_leaves_the_machine(make_run: MakeRun, tmp_path: Path) -> None:
    base, tuned = rows("base", 0.7), rows("tuned", 0.3)
    tuned[0] |= {"error": "/home/anna/lion.wav: truncated", "hypothesis": ""}
    settings = {
        "corpus": {
            "source": ["/data/anna/recordings", "data/anna", "annaschule_2024"],
            "speakers": "school/anna.csv",
            "audio": ["/data/the school/of anna"],
        },
        "augment": {"noise_folder": "noise/anna_home", "room_folder": "rooms/anna", "noise": 0.1, "room": 0.1},
        "model": {"base": "../models/anna"},
    }
    run = make_run(base, tuned, settings=settings)
    provenance = read_json(RunFolder(run).provenance)
    write_json(RunFolder(run).provenance, {**provenance, "weights": "read from C:\\Users\\anna\\model.bin"})
    source = write_report(run).read_text(encoding="utf-8")
    assert "anna" not in source and str(tmp_path) not in source and "lion" not in source
    assert "a local folder" in source and "a local model" in source and "truncated" in source


def test_hostile_text_is_shown_as_text(make_run: MakeRun) -> None:
    base, tuned = rows("base", 0.7), rows("tuned", 0.3)
    hostile = ["<script>alert(1)</script>", "\u202eevil\u202c \x00 \x1b[31m", "a\u2028b", "👩‍👧", "?!", "{{ 7 * 7 }}"]
    for number, text in enumerate(hostile):
        for row in (base[number], tuned[number]):
            row |= {"reference": text, "language": "fr", "flags": ["<i>odd</i>"], "id": f"<b>{number}</b>"}
        tuned[number]["hypothesis"] = f"{text} <img src=x onerror=alert(1)> " + "no " * 30
    tuned[6]["hypothesis"] = "lone SURROGATE " * 20
    run = make_run(base, tuned)
    # What storage refuses to write another tool can: JSON escapes a lone surrogate.
    path = RunFolder(run).hypotheses("tuned", "test")
    path.write_text(path.read_text(encoding="utf-8").replace("SURROGATE", "\\ud800"), encoding="utf-8")
    source = write_report(run).read_text(encoding="utf-8")
    page = Page(source)
    assert {"img", "b", "i"}.isdisjoint(page.tags) and page.tags.count("script") == 2
    assert "<script>alert(1)</script>" in page.text and "{{ 7 * 7 }}" in page.text
    assert "\x00" not in source and "\x1b" not in source


def test_missing_sections_say_so(make_run: MakeRun) -> None:
    run = make_run()
    folder = RunFolder(run)
    shutil.rmtree(folder.corpus)
    for file in (folder.metrics, folder.provenance, folder.evaluation("test"), folder.trained_on):
        file.unlink()
    page = page_of(run)
    assert "no training metrics" in page.text
    assert "corpus was not at hand" in page.text
    assert "no provenance" in page.text
    assert "checked against trained_on" not in page.text


def test_a_corpus_elsewhere_is_found(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    elsewhere = RunFolder(run).corpus.rename(tmp_path / "elsewhere")
    assert "dropped: not selected" in page_of(run, elsewhere).text


def test_what_the_report_needs_is_asked_for_at_once(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        write_report(tmp_path)
    assert len(caught.value.problems) == 2 and "comparative_analysis.json" in str(caught.value)


def test_hypotheses_that_do_not_match_are_refused(make_run: MakeRun) -> None:
    run = make_run()
    write_jsonl(RunFolder(run).hypotheses("tuned", "test"), rows("tuned", 0.3)[:-1])
    with pytest.raises(InputError, match=r"1 ids are in .*base\.test\.jsonl but not in"):
        write_report(run)


def test_a_regression_is_not_dressed_up(make_run: MakeRun) -> None:
    page = page_of(make_run(rows("base", 0.2), rows("tuned", 0.8)))
    assert "more word errors" in page.text and "fewer" not in page.text.split("Raw error rate")[0]


def test_no_difference_is_said_as_such(make_run: MakeRun) -> None:
    same = rows("base", 0.5)
    page = page_of(make_run(same, [{**row, "system": "tuned"} for row in same]))
    assert "No evidence of a difference" in page.text


def test_one_speaker_without_age_gets_numbers_but_no_claim(make_run: MakeRun) -> None:
    unknown = {"age_years": None, "role": "unknown", "speaker": "S0001"}
    base, tuned = ([{**row, **unknown} for row in rows(name, rate)] for name, rate in (("base", 0.7), ("tuned", 0.2)))
    page = page_of(make_run(base, tuned))
    assert "Nothing can be claimed" in page.text and "at least 2 speakers" in page.text
    assert "unknown" in page.text


def test_nobody_known_is_called_a_speaker(make_run: MakeRun) -> None:
    nobody = {"speaker": None}
    base, tuned = ([{**row, **nobody} for row in rows(name, rate)] for name, rate in (("base", 0.7), ("tuned", 0.2)))
    text = page_of(make_run(base, tuned)).text
    assert "A point for each speaker" not in text
    assert "none of the speakers" not in text and "whether somebody is in both is not known either" in text


def test_an_age_whose_words_may_all_be_left_out_has_no_level(make_run: MakeRun) -> None:
    optional = {"age_years": 4.0, "reference": "{yeah / @}", "speaker": "S0900", "id": "optional"}
    base, tuned = rows("base", 0.7), rows("tuned", 0.2)
    base.append({**base[0], **optional, "hypothesis": "yeah"})
    tuned.append({**tuned[0], **optional, "hypothesis": ""})
    assert "Age ≤4" not in page_of(make_run(base, tuned)).text


def test_nothing_to_score_is_still_a_page(make_run: MakeRun) -> None:
    silent = [{**row, "reference": "", "hypothesis": ""} for row in rows("base", 0.5)]
    page = page_of(make_run(silent, [{**row, "system": "tuned"} for row in silent]))
    assert "no reference word to score" in page.text and "no error in any utterance" in page.text
    assert "nan" not in page.text.lower().split()


def test_a_test_that_training_saw_is_no_test(make_run: MakeRun) -> None:
    run = make_run()
    seen = [{"id": rows("base", 0.7)[0]["id"], "speaker": "S0003", "used_for": "selection"}]
    write_jsonl(RunFolder(run).trained_on, seen)
    assert "This is not a test" in page_of(run).text


def test_a_corpus_that_is_given_must_be_one(make_run: MakeRun, tmp_path: Path) -> None:
    run = make_run()
    for corpus in (tmp_path / "nothing", run):
        with pytest.raises(InputError, match="not a prepared corpus") as caught:
            write_report(run, corpus)
        assert len(caught.value.problems) == 1
    assert not RunFolder(run).report.exists()
    elsewhere = RunFolder(run).corpus.rename(tmp_path / "corpus")
    assert write_report(run, elsewhere).is_file() and write_report(run).is_file(), "without one the section says so"
