"""What transcripts that share recordings have given of them, so that nothing is read twice."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from smallvoice.corpus.transcripts.document import FileReader
from smallvoice.corpus.transcripts.segment import Segment


@dataclass
class Taken:
    """Told every segment in turn; the first to say something is the one that is read."""

    reader_of: dict[Path, FileReader] = field(default_factory=dict)
    """Whose segments a recording has."""
    several: dict[str, None] = field(default_factory=dict)
    """Transcripts that gave a whole recording again, and which is read; in order."""
    _given: dict[tuple[object, ...], str] = field(default_factory=dict)
    """What was said -> where."""
    _whole: dict[tuple[Path, int | None, str | None], str] = field(default_factory=dict)
    """Recording, channel and speaker -> the transcript that gives all of it: two speakers' texts are two halves."""

    def why_not(self, audio: Path, reader: FileReader, segment: Segment, where: str) -> tuple[str, str] | None:
        """Why a segment of the transcript at `where` is not taken: reason and detail; None: it is."""
        first = self.reader_of.setdefault(audio, reader)
        if first is not reader:
            return "another transcript is used", f"{first.name} says more than {reader.name}"
        known = self._given.setdefault(_said(audio, segment), segment.where)
        is_other_line = known != segment.where
        if is_other_line and (segment.start_s is None or known.rpartition(":")[0] != segment.where.rpartition(":")[0]):
            return "given twice", f"as {known} says"
        if segment.start_s is None and segment.end_s is None:
            whole = self._whole.setdefault((audio, segment.channel, segment.speaker), where)
            if whole != where:
                self.several[f"{where} ({whole} is)"] = None
                return "another transcript is used", f"{whole} gives the whole recording too"
        return None


def _said(audio: Path, segment: Segment) -> tuple[object, ...]:
    """What makes two lines of two transcripts one: the same words in the same place."""
    return audio, segment.channel, segment.start_s, segment.end_s, segment.text
