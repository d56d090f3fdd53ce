"""Decoding by CTranslate2: eight-bit weights on a CPU, at the trimmed window as well as at 30 seconds."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import ctranslate2
import numpy as np
import torch

from smallvoice.decoding.engine import Decoded, by_window, frames_at_once, in_order, token_cap
from smallvoice.decoding.word_times import SECONDS_PER_POSITION, Word, token_starts, words_of
from smallvoice.model import window as windows
from smallvoice.model.device import describe, no_room_as_error
from smallvoice.model.features import FRAMES_PER_SECOND, SAMPLE_RATE
from smallvoice.model.prompt import prefix_ids
from smallvoice.model.weights import Whisper
from smallvoice.recipe import DecodeRecipe, WindowRecipe


class CTranslate2Engine:
    """A CTranslate2 Whisper that turns waveforms into text."""

    def __init__(self, folder: Path, whisper: Whisper, window: WindowRecipe, recipe: DecodeRecipe) -> None:
        """Load `folder`; of `whisper` the sizes, the tokenizer and the ids are used, not the weights."""
        self.whisper = whisper
        self.window = window
        self.recipe = recipe
        self.device = torch.device("cuda" if ctranslate2.get_cuda_device_count() else "cpu")
        _, self.batch_frames = frames_at_once(self.device, whisper.network.config)
        ctranslate2.set_random_seed(0)  # draws are those of one sequence: the same calls give the same
        with no_room_as_error(self.device):
            self._model = ctranslate2.models.Whisper(
                str(folder), device=self.device.type, intra_threads=torch.get_num_threads()
            )

    def num_frames(self, duration_s: float) -> int:
        """The window of an utterance, in log-mel frames."""
        return windows.num_frames(duration_s, self.window, windows.max_frames(self.whisper.network))

    def facts(self) -> dict[str, Any]:
        """What decodes: runtime, device, precision."""
        return {
            "runtime": f"ctranslate2 {ctranslate2.__version__}",
            "device": describe(self.device),
            "precision": self._model.compute_type,
        }

    def decode(
        self, waveforms: list[np.ndarray], language: str | None, *, words: bool = False, temperature: float = 0.0
    ) -> list[Decoded]:
        """Decode utterances; arguments, result and errors are those of `TorchEngine.decode`.

        But what is drawn (`temperature`) depends on what this engine has drawn before.
        """
        prefix = prefix_ids(self.whisper.generation, language)
        beams = 1 if temperature else self.recipe.beams
        positions = self.whisper.network.config.max_target_positions - int(words)  # aligning adds the end token
        places = by_window(waveforms, self, self.batch_frames)
        found: list[Decoded] = []
        for part in places:
            these = [waveforms[place] for place in part]
            durations_s = [len(waveform) / SAMPLE_RATE for waveform in these]
            caps = [token_cap(duration_s, self.recipe, positions, len(prefix), language) for duration_s in durations_s]
            encoded = self._encode(these)
            results = self._generate(encoded, prefix, caps, beams, temperature)
            for row, ((tokens, _), cap) in enumerate(zip(results, caps, strict=True)):
                # CTranslate2 has one cap for a batch: what meets its own is decoded again, alone.
                if len(tokens) >= cap < max(caps):
                    results[row] = self._generate(self._encode([these[row]]), prefix, [cap], beams, temperature)[0]
            if beams > 1 and self._may_be_silent():
                # Its beams never end with nothing: so where the end is the likeliest first token, nothing is said.
                first = self._generate(encoded, prefix, [1] * len(part), 1)
                results = [one if not one[0] else other for one, other in zip(first, results, strict=True)]
            texts = [tokens for tokens, _ in results]
            timed = self._words(encoded, prefix, texts, durations_s, language) if words else [None] * len(part)
            most = positions - len(prefix)
            found += [self._decoded(*row, most) for row in zip(results, caps, timed, strict=True)]
        return in_order(found, places)

    def detect(self, waveforms: list[np.ndarray]) -> list[str]:
        """Guess the language of each utterance; a code such as `en`.

        Raises:
            InputError: the model is English-only.
        """
        self.whisper.require_languages()
        places = by_window(waveforms, self, self.batch_frames)
        encoded = (self._encode([waveforms[place] for place in part]) for part in places)
        guesses = [ranked[0][0].strip("<|>") for one in encoded for ranked in self._model.detect_language(one)]
        return in_order(guesses, places)

    def _may_be_silent(self) -> bool:
        generation = self.whisper.generation
        return generation.eos_token_id not in (generation.begin_suppress_tokens or [])

    def _decoded(self, result: tuple[list[int], float], cap: int, words: list[Word] | None, most: int) -> Decoded:
        tokens, logprob = result
        text = self.whisper.tokenizer.decode(tokens, skip_special_tokens=True)
        capped, full = len(tokens) >= cap, len(tokens) >= most
        return Decoded(" ".join(text.split()), len(tokens), logprob, capped=capped, full=full, words=words)

    def _encode(self, waveforms: list[np.ndarray]) -> ctranslate2.StorageView:
        """The encoder's output for utterances of one window."""
        frames = self.num_frames(len(waveforms[0]) / SAMPLE_RATE)
        mel = windows.log_mel_of(waveforms, frames, self.whisper.network.config.num_mel_bins, torch.device("cpu"))
        return self._model.encode(ctranslate2.StorageView.from_array(np.ascontiguousarray(mel.numpy())))

    def _generate(
        self, encoded: ctranslate2.StorageView, prefix: list[int], caps: list[int], beams: int, temperature: float = 0.0
    ) -> list[tuple[list[int], float]]:
        """Of each utterance its tokens without the end, and their mean log-probability, the end included."""
        cap = max(caps)
        drawn = {"sampling_topk": 0, "sampling_temperature": temperature} if temperature else {}
        results = self._model.generate(
            encoded,
            [prefix] * len(caps),
            beam_size=beams,
            # It allows half of this for new tokens, and the whole of it with the prefix.
            max_length=max(2 * cap, len(prefix) + cap),
            suppress_tokens=self.whisper.generation.suppress_tokens or [],
            return_scores=True,
            # Without it a score is the sum over the tokens and the end, of an empty text too.
            length_penalty=0 if beams == 1 else 1,
            **drawn,
        )
        found = []
        for result in results:
            tokens = result.sequences_ids[0]
            total = result.scores[0] * (1 if beams == 1 else len(tokens))
            found.append((tokens, total / (len(tokens) + (len(tokens) < cap))))
        return found

    def _words(
        self,
        encoded: ctranslate2.StorageView,
        prefix: list[int],
        texts: list[list[int]],
        durations_s: list[float],
        language: str | None,
    ) -> list[list[Word]]:
        """When each word was said: CTranslate2's own alignment by cross-attention and dynamic time warping.

        It puts the token for no timestamps behind the prefix by itself.
        """
        frames = [max(2, math.ceil(duration_s * FRAMES_PER_SECOND)) for duration_s in durations_s]
        found = []
        for text, aligned in zip(texts, self._model.align(encoded, prefix[:-1], texts, frames), strict=True):
            if not text:
                found.append([])
                continue
            tokens, places = (np.array(column) for column in zip(*aligned.alignments, strict=True))
            starts = token_starts(tokens, places) * SECONDS_PER_POSITION
            logprobs = [math.log(max(probability, 1e-10)) for probability in aligned.text_token_probs]
            found.append(words_of(self.whisper.tokenizer, text, starts.tolist(), logprobs, language))
        return found
