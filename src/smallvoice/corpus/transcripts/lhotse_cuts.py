"""Lhotse manifests: https://lhotse.readthedocs.io/en/latest/corpus.html

    *cuts*.jsonl[.gz]               cuts with their supervisions and recording
    *supervisions*.jsonl[.gz]       supervisions; their recordings in *recordings*.jsonl[.gz] beside

A supervision's times count from the start of its cut; they are given here from the start of the recording. A
recording that a command, a URL or an archive holds is never fetched or run.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from smallvoice.corpus.transcripts.columns import text_of
from smallvoice.corpus.transcripts.document import HEAD_BYTES, MAX_BYTES, Document, FileReader, Head, Unreadable
from smallvoice.corpus.transcripts.document import read_bytes as read_file
from smallvoice.corpus.transcripts.fields import person_in, seconds, squeezed
from smallvoice.corpus.transcripts.people import UNKNOWN, age_of, gender_of, is_role_word, role_of, role_of_word
from smallvoice.corpus.transcripts.segment import Problem, Segment, Word
from smallvoice.recipe import CorpusRecipe

_GZIP = b"\x1f\x8b"
_AGES = ("age_years", "age", "age_months")


def recognises(head: Head) -> bool:
    """The first line is a cut or a supervision."""
    text = head.text
    if head.data.startswith(_GZIP):
        try:
            text = zlib.decompressobj(31).decompress(head.data, HEAD_BYTES).decode("utf-8", errors="replace")
        except zlib.error:
            return False
    first = text.lstrip().split("\n", 1)[0]
    if not first.startswith("{") or '"sources"' in first.partition('"supervisions"')[0]:
        return False
    is_cut = '"supervisions"' in first and ('"start"' in first or '"MonoCut"' in first)
    is_mixed = '"tracks"' in first and '"cut"' in first
    keys = ('"recording_id"', '"start"', '"duration"', '"channel"')
    return is_cut or is_mixed or all(key in first for key in keys)


def parse(path: Path, where: str, recipe: CorpusRecipe) -> Document:
    """Every supervision.

    Raises:
        Unreadable: damaged or too large when unpacked, or no line is a cut or a supervision.
    """
    manifest = _Manifest(where, {})
    lines = list(_json_lines(unpacked(path, where), where, manifest.problems))
    if any("supervisions" not in found and "tracks" not in found for _, found in lines):
        manifest.recordings = _recordings_beside(path, where)
    for line, found in lines:
        manifest.add(found, f"{where}:{line}")
    if not manifest.segments and all(problem.reason in ("bad line", "not UTF-8") for problem in manifest.problems):
        detail = f"{len(manifest.problems)} lines are not" if manifest.problems else "it holds none"
        raise Unreadable(where, "no cut or supervision", detail)
    return Document(segments=tuple(manifest.segments), problems=tuple(manifest.problems))


def unpacked(path: Path, where: str) -> bytes:
    """The bytes of a file, of a `.gz` those inside.

    Raises:
        Unreadable: it cannot be opened or unpacked, or is too large.
    """
    data = read_file(path, where)
    if not data.startswith(_GZIP):
        return data
    try:
        with gzip.open(path) as stream:
            inside = stream.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise Unreadable(where, "damaged gzip", str(error) or type(error).__name__) from None
    if len(inside) > MAX_BYTES:
        raise Unreadable(where, "unpacks to too much", f"more than {MAX_BYTES / 1e6:.0f} MB")
    return inside


def _json_lines(data: bytes, where: str, problems: list[Problem]) -> Iterator[tuple[int, dict[str, Any]]]:
    for number, line in enumerate(data.split(b"\n"), 1):
        if not line.strip():
            continue
        try:
            value = json.loads(line.decode("utf-8-sig"))
        except UnicodeDecodeError:
            problems.append(Problem(where=f"{where}:{number}", reason="not UTF-8"))
            continue
        except (ValueError, RecursionError) as error:
            detail = f"not JSON: {getattr(error, 'msg', 'too deep or too long')}"
            problems.append(Problem(where=f"{where}:{number}", reason="bad line", detail=detail))
            continue
        if isinstance(value, dict):
            yield number, value
        else:
            problems.append(Problem(where=f"{where}:{number}", reason="bad line", detail="not an object"))


def _recordings_beside(path: Path, where: str) -> dict[str, dict[str, Any]]:
    """The recordings of a manifest of supervisions, by id; empty where there is no such file."""
    if "supervisions" not in path.name:
        return {}
    name = path.name.replace("supervisions", "recordings").removesuffix(".gz")
    found: dict[str, dict[str, Any]] = {}
    for beside in (path.with_name(name), path.with_name(f"{name}.gz")):
        if beside.is_file():
            for _, recording in _json_lines(unpacked(beside, f"{where} ({beside.name})"), where, []):
                found.setdefault(text_of(recording.get("id")), recording)
    return found


@dataclass(frozen=True, slots=True)
class _Audio:
    """Where the sound of a supervision is, or why it is nowhere."""

    recording: str | None
    channel: int | None = None
    reason: str = ""
    detail: str = ""


class _Manifest:
    """The segments and problems of one file, as they are found."""

    def __init__(self, where: str, recordings: Mapping[str, dict[str, Any]]) -> None:
        self.where = where
        self.recordings = recordings
        self.segments: list[Segment] = []
        self.problems: list[Problem] = []

    def add(self, found: dict[str, Any], place: str) -> None:
        """A line: a cut, a mixture of cuts, or a supervision."""
        if "tracks" in found:
            self._add_mixture(found, place)
        elif "supervisions" in found:
            self._add_cut(found, place)
        elif "recording_id" in found:
            recording = self.recordings.get(text_of(found["recording_id"]))
            self._add_supervision(found, recording, None, 0.0, place)
        else:
            self._lose(place, "bad line", "neither a cut nor a supervision")

    def _add_cut(self, cut: dict[str, Any], place: str) -> None:
        supervisions, start_s = cut["supervisions"], seconds(cut.get("start"))
        if start_s is None or not isinstance(supervisions, list):
            self._lose(place, "bad line", "a cut without start or list of supervisions")
            return
        if not supervisions:
            self._lose(place, "no text", "the cut has no supervision")
        recording = cut.get("recording")
        for supervision in supervisions:
            if isinstance(supervision, dict):
                known = recording if isinstance(recording, dict) else None
                self._add_supervision(supervision, known, cut.get("channel"), start_s, place)
            else:
                self._lose(place, "bad line", "a supervision that is not an object")

    def _add_mixture(self, found: dict[str, Any], place: str) -> None:
        """Several recordings at once: what is said in them lies in no file as it is."""
        tracks = found["tracks"] if isinstance(found["tracks"], list) else []
        cuts = [track.get("cut") for track in tracks if isinstance(track, dict)]
        said = [cut.get("supervisions") for cut in cuts if isinstance(cut, dict)]
        texts = [text_of(one.get("text")) for some in said if isinstance(some, list) for one in some if _is(one)]
        lost = Segment(where=place, text=squeezed(" ".join(texts)))
        self._lose(place, "mixed cut", f"a mixture of {len(cuts)} cuts; give the cuts it is made of", lost)

    def _add_supervision(
        self, found: dict[str, Any], recording: dict[str, Any] | None, cut_channel: object, offset_s: float, place: str
    ) -> None:
        start_s, duration_s = seconds(found.get("start")), seconds(found.get("duration"))
        channel = found.get("channel", cut_channel)
        audio = _audio(recording, text_of(found.get("recording_id")), channel)
        speaker = text_of(found.get("speaker"))
        speaker = "" if speaker.lower() in UNKNOWN else speaker
        custom = found["custom"] if _is(found.get("custom")) else {}
        ages = [age_of(text_of(custom.get(key)), in_months=key == "age_months") for key in _AGES]
        role = role_of(text_of(custom.get("role")))
        language = text_of(found.get("language"))
        segment = Segment(
            where=place,
            text=squeezed(text_of(found.get("text"))),
            start_s=None if start_s is None else round(offset_s + start_s, 6),
            end_s=None if start_s is None or duration_s is None else round(offset_s + start_s + duration_s, 6),
            speaker=person_in(speaker, self.where, audio.recording, is_role_word),
            age_years=next((age for age in ages if age is not None), None),
            gender=gender_of(text_of(found.get("gender"))),
            role=role or role_of_word(speaker),
            role_is_guess=role is None,
            language=None if language.lower() in UNKNOWN else language,
            recording=audio.recording,
            channel=audio.channel,
            words=_words(found, offset_s),
        )
        if start_s is None or duration_s is None:
            self._lose(place, "bad line", "a supervision without start or duration", segment)
        elif audio.reason:
            self._lose(place, audio.reason, audio.detail, segment)
        elif not segment.text:
            self._lose(place, "no text", "the supervision has none", segment)
        else:
            self.segments.append(segment)

    def _lose(self, place: str, reason: str, detail: str, segment: Segment | None = None) -> None:
        self.problems.append(Problem(where=place, reason=reason, detail=detail, segment=segment))


def _is(value: object) -> bool:
    return isinstance(value, dict)


def _audio(recording: dict[str, Any] | None, recording_id: str, channel: object) -> _Audio:
    """The file of a recording that has the channel, and which of its channels that is."""
    wanted = channel[0] if isinstance(channel, list) and len(channel) == 1 else channel
    own = wanted if isinstance(wanted, int) and 0 <= wanted < 100 else None
    if recording is None:
        named = _Audio(recording_id, own)
        return named if recording_id else _Audio(None, own, "no audio named", "neither a recording nor its id")
    if recording.get("transforms"):  # its times are those of audio that nobody has: another speed, another level
        return _Audio(None, own, "recording is transformed", text_of(recording["transforms"])[:80])
    sources = recording.get("sources")
    sources = [source for source in sources if _is(source)] if isinstance(sources, list) else []
    if own is None and len(sources) > 1:
        return _Audio(
            None, None, "recording of several files", f"channel {text_of(channel)[:40]} of {len(sources)} files"
        )
    for source in sources:
        channels = source.get("channels") if isinstance(source.get("channels"), list) else []
        if own is not None and len(sources) > 1 and own not in channels:
            continue
        kind, path = source.get("type"), text_of(source.get("source"))
        if kind != "file":
            return _Audio(None, own, "not a file", f"the recording is of type {text_of(kind)[:40]}")
        if path:
            # A file's own channels are counted from 0, whatever the recording calls them.
            position = channels.index(own) if own is not None and own in channels else own
            return _Audio(path, position)
    return _Audio(None, own, "no audio named", "the recording has no source with this channel")


def _words(found: dict[str, Any], offset_s: float) -> tuple[Word, ...]:
    """The word alignment, where it is whole: [[word, start, duration, score], ...]"""
    alignment = found["alignment"] if _is(found.get("alignment")) else {}
    items = alignment.get("word")
    words: list[Word] = []
    for item in items if isinstance(items, list) else []:
        symbol, start, duration = item[:3] if isinstance(item, list) and len(item) > 2 else (None, None, None)
        start_s, duration_s = seconds(start), seconds(duration)
        if start_s is None or duration_s is None:
            return ()
        if text_of(symbol):
            start_s += offset_s
            words.append(Word(text=text_of(symbol), start_s=round(start_s, 6), end_s=round(start_s + duration_s, 6)))
    return tuple(words)


READER = FileReader(
    name="lhotse",
    shape="Lhotse cuts, or supervisions beside recordings (.jsonl, .jsonl.gz)",
    suffixes=frozenset({".jsonl", ".gz"}),
    sure_of_name=False,
    recognises=recognises,
    parse=parse,
)
