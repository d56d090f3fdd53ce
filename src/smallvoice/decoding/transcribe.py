"""`transcribe`: recordings to transcripts, one by one; what is done is not done again."""

from __future__ import annotations

import logging
import math
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from smallvoice import recipe_file as recipes
from smallvoice.corpus.audio import SAMPLING_RATE, Int16, load_16k
from smallvoice.decoding import long_form, speech, transcript_files, writers
from smallvoice.decoding.engine import caps_key
from smallvoice.decoding.models import Model, open_model
from smallvoice.decoding.recordings import Identity, Work, held
from smallvoice.decoding.writers import Transcript
from smallvoice.errors import InputError, RecipeError, SmallvoiceError, require
from smallvoice.languages import language_code
from smallvoice.recipe import DecodeRecipe
from smallvoice.scoring.read_aloud import VERSION, assess, has_words, seconds_read
from smallvoice.storage import SCHEMA_VERSION, digest, no_space_as_error, read_text

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Done:
    """What became of one recording."""

    name: str
    transcript: Transcript | None = None
    """None where there was nothing to do, or it failed."""
    out: Path | None = None
    """Its files without a suffix."""
    reading: dict[str, Any] | None = None
    """What was read of the passage, where there is one."""
    made: bool = False
    """Whether anything was written, or there is a transcript to return."""
    error: str | None = None

    def without_transcript(self) -> Done:
        """The same without what takes memory."""
        return replace(self, transcript=None)


class Transcriber:
    """A model that writes transcripts of files."""

    def __init__(
        self,
        model: Model,
        *,
        language: str | None = None,
        beams: int | None = None,
        formats: list[str] | None = None,
        passage: str | None = None,
    ) -> None:
        self.model = model
        self.decode = model.decode or DecodeRecipe()
        if beams:
            self.decode = replace(self.decode, beams=beams)
        self.language = language or model.language
        self.formats = [*dict.fromkeys([*(formats or []), "json"])]
        self.passage = passage
        self.engine = model.engine(self.decode)
        self._taken: set[Path] = set()  # by transcripts of recordings that were done here

    def facts(self) -> dict[str, Any]:
        """What a reader of a transcript must know of how it was made."""
        return {
            "schema_version": SCHEMA_VERSION,
            "model": self.model.whisper.name,
            "system": self.model.system,
            "adapter_sha256": self.model.adapter_sha256,
            "decoding": {**asdict(self.decode), "window": recipes.as_dict(self.model.window)},
            "engine": self.engine.facts(),
        }

    def transcribe(self, samples: Int16, report: long_form.Report = lambda seconds, whole: None) -> Transcript:
        """A whole recording: (num_samples,) at 16 kHz."""
        heard = speech.find(samples)
        language = self._language_of(samples, heard)
        found = long_form.transcribe(samples, heard, self.engine, language, report)
        duration_s = math.ceil(1000 * len(samples) / SAMPLING_RATE) / 1000
        return Transcript(duration_s, language, [self._sure(one) for one in found], self.facts())

    def _sure(self, segment: long_form.Segment) -> long_form.Segment:
        """With the confidence of each word, where the model's dev has told how to find it."""
        calibration = self.model.facts.calibration if self.model.facts else None
        if calibration is None:
            return segment
        words = [replace(word, confidence=round(calibration.confidence(word.probability), 4)) for word in segment.words]
        return replace(segment, words=words)

    def _language_of(self, samples: Int16, heard: speech.Heard) -> str | None:
        """The one that is given, else the model's guess from the first half minute of speech."""
        if self.language or not self.model.whisper.generation.is_multilingual or not heard.stretches:
            return self.language
        return self.model.detect([speech.beginning(samples, heard)], self.engine)[0]

    def do(self, work: Work, report: long_form.Report = lambda seconds, whole: None) -> Done:
        """One recording to its files. What fails is that recording's own, but for what no other could do without.

        Raises:
            SmallvoiceError: no room on the disk, a model that cannot do what is asked.
        """
        try:
            with no_space_as_error(work.target or Path(tempfile.gettempdir())):
                return self._do(work, report)
        except InputError as error:
            return Done(work.name, error=str(error))
        except SmallvoiceError:
            raise
        except Exception as error:  # of a library, or a mistake in this program: --debug shows where
            log.debug("%s", work.name, exc_info=True)
            return Done(work.name, error=f"{work.name}: {_said(error)}.")

    def _do(self, work: Work, report: long_form.Report) -> Done:
        with held(work) as (file, recording):
            if work.target is None:
                transcript = self.transcribe(load_16k(file, name=work.name).samples, report)
                self._read(transcript)
                return Done(work.name, transcript, reading=transcript.facts.get("reading"), made=True)
            files = transcript_files.place(work.target, recording, self._taken)
            key = self._key(recording, self.language or files.kept.get("language"))
            self._taken.add(files.out)
            if files.has(key, self.formats) and not self._to_read(files.kept):
                return Done(work.name, files.transcript(key), files.out, self._reading(files.kept))
            files.require_ours(key, self.formats)
            transcript = files.transcript(key) or self.transcribe(load_16k(file, name=work.name).samples, report)
            key = self._key(recording, transcript.language)
            transcript.facts.update(key=key, recording=asdict(recording))
            self._read(transcript)
            files.write(transcript, self.formats)
            return Done(work.name, transcript, files.out, self._reading(transcript.facts), made=True)

    def _reading(self, facts: dict[str, Any]) -> dict[str, Any] | None:
        """What was read of the passage, if one is asked for."""
        return facts.get("reading") if self.passage is not None else None

    def _to_read(self, facts: dict[str, Any]) -> bool:
        """Whether there is a passage, and what was read of it has not been counted."""
        counted = facts.get("passage") == digest(VERSION, self.passage) and isinstance(facts.get("reading"), dict)
        return self.passage is not None and not counted

    def _read(self, transcript: Transcript) -> None:
        """Count what was read of the passage, if it is not counted yet."""
        if self.passage is None or not self._to_read(transcript.facts):
            return
        words = [(word.text, word.start_s, word.end_s) for segment in transcript.segments for word in segment.words]
        heard = " ".join(segment.text for segment in transcript.segments)
        reading, steps = assess(self.passage, heard, None, transcript.language)
        reading = replace(reading, seconds=seconds_read(steps, words, transcript.language))
        read = [asdict(step) for step in steps]
        transcript.facts.update(
            passage=digest(VERSION, self.passage), reading={**reading.as_dict(), "words_read": read}
        )

    def _key(self, recording: Identity, language: str | None) -> str:
        """What the words depend on: recording, model and options. Not the passage: it is compared afterwards.

        Args:
            language: as it is given, or was guessed before.
        """
        decoding = {**self.facts()["decoding"], "batch_size": None}  # which changes nothing
        calibration = self.model.facts.calibration if self.model.facts else None
        sure = asdict(calibration) if calibration else None
        return digest(self.model.key, decoding, sure, self.language, recording.content, *caps_key(language))


def _said(error: Exception) -> str:
    """What failed in a recording, in a line."""
    if isinstance(error, MemoryError):
        return "not enough memory for it"
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}".rstrip(".: ")


def transcriber(
    model: str,
    *,
    language: str | None = None,
    beams: int | None = None,
    formats: Sequence[str] = (),
    passage: Path | None = None,
    runtime: str | None = None,
) -> Transcriber:
    """Open a model and check what is asked of it.

    Raises:
        SmallvoiceError: a format or language that is not known, a model or passage that cannot be read.
    """
    require("faster_whisper", extra="transcribe", why="Finding speech in a recording")
    language = language_code(language) if language else None
    unknown = [name for name in formats if name not in writers.FORMATS]
    if unknown:
        raise RecipeError(f"--format {', '.join(unknown)}: not known. There are: {', '.join(writers.FORMATS)}.")
    text = read_text(passage) if passage else None
    if text is not None and not has_words(text, language):
        raise InputError(f"{passage}: no words to be read in it.")
    opened = open_model(model, runtime)
    known = opened.whisper.generation.lang_to_id if opened.whisper.generation.is_multilingual else {"<|en|>": 0}
    if language and f"<|{language}|>" not in known:
        raise RecipeError(f"--language {language}: this model knows {', '.join(sorted(name[2:-2] for name in known))}.")
    return Transcriber(opened, language=language, beams=beams, formats=list(formats), passage=text)
