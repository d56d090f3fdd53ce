"""The numbers of a corpus against ones counted by hand, and the page as a browser gets it."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from corpora import rows
from rich.console import Console
from spoken import Said, corpus_of, rewritten, voice

from smallvoice.corpus.inspect import Histogram, describe, inspect
from smallvoice.corpus.utterance import Utterance
from smallvoice.reporting.histogram import histogram_svg, in_words
from smallvoice.reporting.inspect_page import write_inspection

SAID = [
    Said(speaker="anna", text="THE OWL, the owl!", samples=voice(2.0)),
    Said(speaker="anna", text="A CAT", samples=voice(1.0)),
    Said(speaker="ben", text="DON'T", samples=voice(1.0)),
    Said(split="test", speaker="cem", text="THE LION SLEEPS", samples=voice(3.0)),
    Said(split="test", speaker="cem", text="LION", samples=voice(1.0)),
]


def known(row: Utterance) -> Utterance:
    about = {"S0001": (6.0, "f"), "S0002": (9.5, "m")}
    age, gender = about.get(row.speaker or "", (None, None))
    return dataclasses.replace(row, age_years=age, gender=gender, role="child")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return rewritten(corpus_of(tmp_path, SAID), known)


def test_the_numbers_are_right(corpus: Path) -> None:
    inspection = inspect(corpus)
    train, test = inspection.splits["train"], inspection.splits["test"]
    assert (train.num_utterances, train.duration_s, train.words.total(), len(train.words)) == (3, 4.0, 7, 5)
    assert train.words == {"the": 2, "owl": 2, "a": 1, "cat": 1, "don't": 1}
    assert (len(train.genders), len(test.genders), len(train.recordings)) == (2, 1, 3)
    assert train.roles == {"child": 3} and test.languages == {"en": 2}
    assert inspection.vocabulary == 7 and inspection.top_words[:3] == (("the", 3), ("lion", 2), ("owl", 2))
    (unseen,) = inspection.unseen
    assert (unseen.split, unseen.num_words, unseen.share, unseen.vocabulary) == ("test", 3, 0.75, 2)
    assert unseen.most == (("lion", 2), ("sleeps", 1))
    rate = next(one for one in inspection.histograms if one.key == "words_per_s")
    assert (rate.least, rate.median, rate.most) == (1, 1, 2)
    assert not inspection.samples


def test_every_row_is_in_each_histogram(corpus: Path) -> None:
    inspection = inspect(corpus)
    ages = [row.age_years for row in rows(corpus) if row.age_years is not None]
    assert 0 < len(ages) < 5
    for histogram in inspection.histograms:
        number = len(ages) if histogram.key == "age_years" else 5
        assert sum(map(sum, histogram.counts.values())) == number, histogram.key
        assert len(histogram.edges) - 1 == len(histogram.counts["train"]) <= 30
        assert histogram.edges[0] <= histogram.least and list(histogram.edges) == sorted(histogram.edges)
    words = next(one for one in inspection.histograms if one.key == "words")
    assert words.edges == (1, 2, 3, 4, 5)
    assert words.counts == {"train": (1, 1, 0, 1), "test": (1, 0, 1, 0)}


def test_one_odd_row_does_not_flatten_the_rest(tmp_path: Path) -> None:
    said = [Said(text="OWL " * (1 + number % 3), samples=voice(0.3)) for number in range(300)]
    corpus = corpus_of(tmp_path, [*said, Said(text="OWL " * 500, samples=voice(0.3))])
    words = next(one for one in inspect(corpus).histograms if one.key == "words")
    assert words.edges == (1, 2, 3, 4) and words.most == 500
    assert words.counts["train"] == (100, 100, 101)  # the last bar holds it


def test_samples_are_drawn_evenly_and_again_the_same(corpus: Path) -> None:
    drawn = inspect(corpus, samples=3, seed=4).samples
    assert [row.split for row in drawn] == ["train", "train", "test"]
    assert drawn == inspect(corpus, samples=3, seed=4).samples
    assert len({tuple(row.id for row in inspect(corpus, samples=2, seed=seed).samples) for seed in range(20)}) > 2
    assert {row.id for row in inspect(corpus, samples=100).samples} == {row.id for row in rows(corpus)}
    by_id = {row.id: row for row in rows(corpus)}
    assert all(row == by_id[row.id] for row in drawn)


def test_unknown_is_said(tmp_path: Path) -> None:
    corpus = rewritten(corpus_of(tmp_path, SAID[:3], language=None), lambda row: dataclasses.replace(row, speaker=None))
    inspection = inspect(corpus)
    assert inspection.unseen == () and "age_years" not in {one.key for one in inspection.histograms}
    text = shown(corpus)
    assert "unknown 3" in text and "Unseen" not in text


def shown(corpus: Path) -> str:
    console = Console(width=200, record=True, file=io.StringIO())
    for part in describe(inspect(corpus)):
        console.print(part)
    return console.export_text()


def test_it_is_said_in_tables(corpus: Path) -> None:
    text = shown(corpus)
    for heading, cell in (("utterances", "2"), ("speakers", "1"), ("roles", "child 2"), ("unseen", r"75\.0 %")):
        assert re.search(rf"\n{heading} .*{cell} *\n", text)
    assert re.search(r"speaking rate \(words a second\) +1 +1 +2", text)
    assert "Most frequent words: the (3), lion (2), owl (2)" in text
    content = inspect(corpus, samples=1).as_dict()
    assert json.loads(json.dumps(content))["unseen_in_train"]["test"]["share"] == 0.75
    assert len(content["samples"]) == 1


class Page(HTMLParser):
    """Tags, sources and visible text; fails on tags that are closed out of order."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.sources: list[str] = []
        self.ids: list[str] = []
        self.text = ""
        self.feed(source)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in ("meta", "br", "link", "img"):
            self.open.append(tag)
        self.sources += [value or "" for name, value in attributes if name in ("src", "href")]
        self.ids += [value or "" for name, value in attributes if name == "id"]

    def handle_startendtag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title", "desc"} & set(self.open):
            self.text += data


def page_of(corpus: Path, samples: int = 5) -> tuple[str, Page]:
    path = corpus.with_name("page.html")
    write_inspection(inspect(corpus, samples=samples), path)
    source = path.read_text(encoding="utf-8")
    return source, Page(source)


def test_the_page_plays_the_rows_it_shows(corpus: Path) -> None:
    source, page = page_of(corpus)
    by_id = {row.id: row for row in rows(corpus)}
    assert page.tags.count("audio") == len(page.sources) == 5
    players = re.findall(
        r'<p class="said"><bdi dir="auto">(.*?)</bdi>.*?base64,([^"]*)".*?<code>(\w+)</code>', source, re.S
    )
    assert len(players) == 5
    for text, audio, name in players:
        assert base64.b64decode(audio) == by_id[name].audio
        assert text.replace("&#39;", "'") == by_id[name].text
    assert all(
        kind in page.text for kind in ("75.0 %", "6 to 9.5 years", "don't", "S0001 · 6 years · f", "age unknown")
    )


def test_the_page_says_first_that_it_stays_here(corpus: Path, tmp_path: Path) -> None:
    _, page = page_of(corpus)
    words = " ".join(page.text.split())
    assert words.startswith("This page stays on this machine: it holds recordings of children.")
    assert "anna" not in page.text and str(tmp_path) not in page.text
    _, silent = page_of(corpus, samples=0)
    assert "There are no recordings in it" in silent.text and "audio" not in silent.tags
    adults = rewritten(corpus, lambda row: dataclasses.replace(row, role="adult"))
    assert "recordings of people" in page_of(adults)[1].text


def test_the_page_opens_offline_in_light_and_dark(corpus: Path) -> None:
    source, page = page_of(corpus)
    assert {"script", "link", "img", "iframe"}.isdisjoint(page.tags)
    assert all(link.startswith("data:audio/flac;base64,") for link in page.sources)
    assert "http:" not in source.replace("http://www.w3.org/2000/svg", "") and "https:" not in source
    assert "default-src 'none'" in source and "media-src data:" in source
    assert "prefers-color-scheme: dark" in source
    assert len(page.ids) == len(set(page.ids))
    # Each plot has a text alternative.
    assert page.tags.count("svg") == 4 == len(re.findall(r'role="img" aria-labelledby="\S+ \S+"', source))
    assert page.tags.count("desc") == 4
    assert page_of(corpus)[0] == source


def test_hostile_text_is_shown_as_text(corpus: Path) -> None:
    hostile = "<script>alert(1)</script> {{ 7 * 7 }} \x00 \u202e\ud800"
    changed = rewritten(corpus, lambda row: dataclasses.replace(row, text=hostile.replace("\ud800", "")))
    inspection = inspect(changed, samples=2)
    broken = dataclasses.replace(inspection, samples=[dataclasses.replace(inspection.samples[0], text=hostile)])
    path = corpus.with_name("page.html")
    write_inspection(broken, path)
    page = Page(path.read_text(encoding="utf-8"))
    assert "script" not in page.tags and "<script>alert(1)</script> {{ 7 * 7 }}" in page.text
    assert "\x00" not in page.text


def test_bars_stand_on_each_other() -> None:
    histogram = Histogram(
        key="words",
        name="Words",
        unit="words",
        edges=(1, 2, 3),
        counts={"train": (2, 0), "test": (1, 5)},
        least=1,
        median=2,
        most=2,
    )
    svg = histogram_svg(histogram)
    bars = re.findall(r'<rect x="([\d.]+)" y="([\d.]+)" width="[\d.]+" height="([\d.]+)" fill="var\((\S+)\)"/>', svg)
    (x1, top1, height1, colour1), (x2, top2, height2, colour2), (_, _, height3, _) = bars
    assert (x1, colour1, colour2) == (x2, "--tuned", "--base")
    assert float(top2) + float(height2) == pytest.approx(float(top1), abs=0.11)
    assert np.allclose([float(height1), float(height3)], [2 * float(height2), 5 * float(height2)], atol=0.3)
    assert in_words(histogram) == "Words: from 1 to 2 words, median 2; most often 2 (5 of 8)."
