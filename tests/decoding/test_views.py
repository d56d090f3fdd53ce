"""Several views of an utterance: what they hear, and where each of them has a place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tests import tiny

from smallvoice import verbs
from smallvoice.decoding.models import open_model
from smallvoice.decoding.torch_engine import TorchEngine
from smallvoice.decoding.views import VIEWS, in_window
from smallvoice.model import weights
from smallvoice.model import window as windows
from smallvoice.model.features import AS_IT_IS, HOP_LENGTH, View
from smallvoice.recipe import DecodeRecipe, WindowRecipe
from smallvoice.run_folder import RunFolder
from smallvoice.storage import read_json, read_jsonl


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("frames", [2, 60, 330, 2698, 2700, 2702, 2998, 3000])
def test_no_view_cuts_an_utterance(frames: int, view: View) -> None:
    heard, window = in_window(view, frames, 3000)
    assert window <= 3000 and window % 2 == 0
    assert window * heard.hop >= frames * HOP_LENGTH, "all that is in the window as it is"
    assert heard.warp == view.warp


def test_the_first_view_is_the_utterance_and_the_full_window_stays_full() -> None:
    assert VIEWS[0] == AS_IT_IS and len(set(VIEWS)) == len(VIEWS) == 5
    assert all(in_window(AS_IT_IS, frames, 3000) == (AS_IT_IS, frames) for frames in (60, 3000))
    assert {in_window(view, 3000, 3000)[1] for view in VIEWS} == {3000}
    faster, slower = VIEWS[1:3]
    assert in_window(faster, 330, 3000)[1] < 330 < in_window(slower, 330, 3000)[1]


def test_a_faster_view_ends_earlier(tiny_models: dict[str, Path]) -> None:
    """A tone of a second is as long as its view says, and a view of a shorter tract hears it higher."""
    network = weights.load(str(tiny_models["multilingual"])).network
    tone = np.sin(2 * np.pi * 1000 * np.arange(16_000) / 16_000).astype(np.float32)
    lasts, sounds = [], []
    for view in VIEWS[:3]:
        mel = windows.features([tone], 200, network, view)[0]
        loud = mel.amax(dim=0) > mel.amax() - 0.5
        lasts.append(int(loud.sum()))
        sounds.append(int(mel[:, 20].argmax()))
    assert lasts == pytest.approx([100, 100 / 1.1, 100 / 0.9], abs=4)
    assert sounds[2] < sounds[0] < sounds[1]


def test_words_have_the_times_of_the_utterance_as_it_is(tiny_models: dict[str, Path]) -> None:
    whisper = weights.load(str(tiny_models["multilingual"]))
    engine = TorchEngine(whisper, WindowRecipe(), DecodeRecipe(tokens_base=6, views=3))
    spoken = [tiny.tone(1.0, 1), tiny.tone(2.0, 2), tiny.tone(1.0, 3)]
    found = engine.decode(spoken, "en", words=True)
    for waveform, one in zip(spoken, found, strict=True):
        assert one.words is not None and " ".join(word.text for word in one.words).split() == one.text.split()
        assert all(0 <= word.start_s <= word.end_s <= len(waveform) / 16_000 for word in one.words)


def test_what_was_asked_for_is_written_down(tuned_run: Path, tiny_corpus: Path, tmp_path: Path) -> None:
    decode = DecodeRecipe(tokens_base=6, tokens_per_s=2.0)
    verbs.evaluate(str(tuned_run), tiny_corpus, out=tmp_path, decode=decode, beams=2, views=3)
    decoding = read_json(RunFolder(tmp_path).evaluation("test"))["models"]["tuned"]["decoding"]
    assert (decoding["views"], decoding["search"]) == (3, "2 beams in 3 views")
    rows = read_jsonl(RunFolder(tmp_path).hypotheses("tuned", "test"))
    assert {row["views"] for row in rows if row["error"] is None} == {3}


def test_ctranslate2_says_that_it_hears_once(
    tuned_run: Path, tiny_corpus: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pytest.importorskip("ctranslate2")
    from smallvoice import using

    using.export(
        str(tuned_run), "ctranslate2", precision="float32", corpus=tiny_corpus, out=tmp_path, accept_drift=True
    )
    engine = open_model(str(tmp_path / "ctranslate2-float32")).engine(DecodeRecipe(tokens_base=6, views=3))
    assert "hears an utterance once, and not in 3 views" in caplog.text and engine.recipe.views == 1
