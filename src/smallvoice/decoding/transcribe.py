"""`transcribe`: audio files to transcripts, file by file; what is done is not done again."""

from __future__ import annotations

import glob
import sys
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from smallvoice import recipe_file as recipes
from smallvoice.corpus.audio import SAMPLING_RATE, Int16, as_float, load_16k
from smallvoice.corpus.transcripts.segment import AUDIO_SUFFIXES
from smallvoice.decoding import long_form, writers
from smallvoice.decoding.models import Model, open_model
from smallvoice.decoding.writers import Transcript
from smallvoice.errors import InputError, RecipeError, SmallvoiceError, require
from smallvoice.recipe import DecodeRecipe
from smallvoice.scoring.read_aloud import assess
from smallvoice.storage import SCHEMA_VERSION, digest, read_json, read_text, write_text

STANDARD_INPUT = "-"


@dataclass(frozen=True)
class Work:
    """One recording, and where its transcript goes."""

    source: Path | bytes
    name: str
    """What it is called in messages."""
    out: Path | None
    """Its transcript without a suffix; None: only returned."""


@dataclass(frozen=True)
class Done:
    """What became of one recording."""

    name: str
    transcript: Transcript | None = None
    """None where it was there already, or failed."""
    error: str | None = None


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
        self.language = language or (model.facts.language if model.facts else None)
        self.formats = [*dict.fromkeys([*(formats or []), "json"])]  # the JSON last: it says that all is there
        self.passage = passage
        self.engine = model.engine(self.decode)

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
        language = self._language_of(samples)
        segments = [self._sure(one) for one in long_form.transcribe(samples, self.engine, language, report)]
        duration_s = round(len(samples) / SAMPLING_RATE, 3)
        facts = self.facts()
        if self.passage is not None:
            words = [word for segment in segments for word in segment.words]
            seconds = words[-1].end_s - words[0].start_s if words else None
            heard = " ".join(segment.text for segment in segments)
            reading, steps = assess(self.passage, heard, seconds, language)
            facts["reading"] = {**reading.as_dict(), "words_read": [asdict(step) for step in steps]}
        return Transcript(duration_s, language, segments, facts)

    def _sure(self, segment: long_form.Segment) -> long_form.Segment:
        """With the confidence of each word, where the model's dev has told how to find it."""
        calibration = self.model.facts.calibration if self.model.facts else None
        if calibration is None:
            return segment
        words = [replace(word, confidence=round(calibration.confidence(word.probability), 4)) for word in segment.words]
        return replace(segment, words=words)

    def _language_of(self, samples: Int16) -> str | None:
        """The one that is given, else the model's guess from the beginning."""
        if self.language or not self.model.whisper.generation.is_multilingual:
            return self.language
        first = as_float(np.asarray(samples[: round(long_form.SHORT_S * SAMPLING_RATE)]))
        return self.engine.detect([first])[0]

    def do(self, work: Work, report: long_form.Report = lambda seconds, whole: None) -> Done:
        """One recording to its files. An error is that file's own."""
        try:
            if work.out and self._is_done(work):
                return Done(work.name)
            if work.out:
                self._require_ours(work.out)
                _remove_half_written(work.out)
            samples = load_16k(work.source, name=work.name).samples
            transcript = self.transcribe(samples, report)
            if work.out:
                self._write(work, transcript)
            return Done(work.name, transcript)
        except InputError as error:
            return Done(work.name, error=str(error))

    def _write(self, work: Work, transcript: Transcript) -> None:
        """Every file, whole; the JSON says before which ones are smallvoice's, and at the end that all are there."""
        assert work.out is not None
        kept, key = _kept(work.out), self._key(work)
        made = {*self.formats, *(kept.get("formats", []) if kept.get("key") == key else [])}
        older = {*kept.get("formats", []), *kept.get("older", [])} - made
        transcript.facts.update(key=None, formats=sorted(made), older=sorted(older))
        write_text(_file(work.out, "json"), writers.as_json(transcript))
        for name in self.formats[:-1]:
            write_text(_file(work.out, name), writers.FORMATS[name](transcript))
        transcript.facts["key"] = key
        write_text(_file(work.out, "json"), writers.as_json(transcript))

    def _is_done(self, work: Work) -> bool:
        """Whether every file is there, made by this model from this recording as it is now."""
        assert work.out is not None
        kept = _kept(work.out)
        made = kept.get("key") == self._key(work) and set(self.formats) <= set(kept["formats"])
        return made and all(_file(work.out, name).is_file() for name in self.formats)

    def _require_ours(self, out: Path) -> None:
        """Refuse to write over a file that smallvoice has not written: a reference, an annotation.

        Raises:
            InputError: there is one.
        """
        kept = _kept(out)
        ours = {*kept.get("formats", []), *kept.get("older", [])}
        for name in self.formats:
            if name not in ours and _file(out, name).exists():
                raise InputError(
                    f"{_file(out, name)}: is there, and smallvoice has not written it. Take another --out."
                )

    def _key(self, work: Work) -> str:
        if isinstance(work.source, Path):
            found = work.source.stat()
            state = [found.st_size, found.st_mtime_ns]
        else:
            state = [len(work.source), zlib.crc32(work.source)]
        decoding = {**self.facts()["decoding"], "batch_size": None}  # which changes nothing
        calibration = self.model.facts.calibration if self.model.facts else None
        sure = asdict(calibration) if calibration else None
        return digest(self.model.key, decoding, sure, self.language, self.passage, state)


def _kept(out: Path) -> dict[str, Any]:
    """The JSON that smallvoice has written before; nothing where there is none, or it is somebody else's."""
    try:
        content = read_json(_file(out, "json"))
    except SmallvoiceError:
        return {}
    return content if isinstance(content.get("formats"), list) else {}


def _remove_half_written(out: Path) -> None:
    """What a process that was killed while it wrote has left beside its target."""
    for left in out.parent.glob(f".{glob.escape(out.name)}.*.part"):
        left.unlink(missing_ok=True)


def _file(out: Path, name: str) -> Path:
    return out.with_name(f"{out.name}.{writers.SUFFIXES.get(name, name)}")


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
    unknown = [name for name in formats if name not in writers.FORMATS]
    if unknown:
        raise RecipeError(f"--format {', '.join(unknown)}: not known. There are: {', '.join(writers.FORMATS)}.")
    text = read_text(passage) if passage else None
    opened = open_model(model, runtime)
    known = opened.whisper.generation.lang_to_id if opened.whisper.generation.is_multilingual else {"<|en|>": 0}
    if language and f"<|{language}|>" not in known:
        raise RecipeError(f"--language {language}: this model knows {', '.join(sorted(name[2:-2] for name in known))}.")
    return Transcriber(opened, language=language, beams=beams, formats=list(formats), passage=text)


def find(sources: list[Path], out: Path | None) -> list[Work]:
    """The recordings that are meant: files, and audio files in folders, in order of their names.

    Raises:
        InputError: a source that does not exist, a folder without audio.
    """
    found: list[tuple[Path, Path]] = []
    problems = []
    for source in sources:
        if source.is_dir():
            files = sorted(file for file in source.rglob("*") if file.suffix.lower() in AUDIO_SUFFIXES)
            found += [(file, file.relative_to(source)) for file in files if file.is_file()]
            if not files:
                problems.append(f"{source}: no audio file in it.")
        elif source.is_file():
            found.append((source, Path(source.name)))
        else:
            problems.append(f"{source}: no such file or folder.")
    if problems:
        raise InputError(*problems)
    return list(_placed(found, out))


def _placed(found: list[tuple[Path, Path]], out: Path | None) -> Iterator[Work]:
    """Where each transcript goes: the recording's name without its suffix, unless two would share it."""
    stems = Counter(place.with_suffix("") for _, place in found)
    wholes = Counter(place for _, place in found)
    for number, (file, place) in enumerate(found, 1):
        target = place.with_suffix("") if stems[place.with_suffix("")] == 1 else place
        if wholes[place] > 1:  # two folders with the same names
            target = target.with_name(f"{target.name}-{number}")
        yield Work(file, str(file), out / target if out else None)


def from_standard_input(out: Path | None) -> Work:
    """One recording, whole: an audio file of any kind."""
    return Work(sys.stdin.buffer.read(), "standard input", out / "standard_input" if out else None)
