"""What goes into one window: an utterance, several of one speaker, or silence."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field, replace

from smallvoice.training import augment
from smallvoice.training.augment import Change

PAUSE_S = (0.2, 1.0)
"""Between joined utterances: from a breath to the start of another thought."""

Wanted = dict[int, list[int]]
"""For each row group of a pool the rows that are heard."""


@dataclass(frozen=True, slots=True)
class Part:
    """One hearing of an utterance."""

    group: int
    """Which row group of the split."""
    row: int
    number: int
    """Its place in the index."""
    utterance_id: str
    duration_s: float
    copy: int = 0
    """The how manieth time in this epoch, from 0."""
    start_s: float = 0.0
    """Where it begins in the audio of its item, before the change."""

    @property
    def key(self) -> str:
        """What its random numbers are drawn from."""
        return f"{self.utterance_id}#{self.copy}" if self.copy else self.utterance_id


@dataclass(frozen=True, slots=True)
class Item:
    """One window of one epoch."""

    parts: tuple[Part, ...]
    """The utterances in it, in order."""
    epoch: int
    change: Change
    """Of the joined audio."""
    frames: int
    """The window in log-mel frames, after the change."""
    silence: bool = False
    """Nobody speaks: a clip as long as its one part, in that one's language, without text."""
    full: bool = False
    """It was drawn to be heard at the full window."""
    previous: tuple[Part, ...] = ()
    """What the speaker said before, if that is given as prompt."""
    wanted: Wanted = field(default_factory=dict, compare=False, repr=False)
    """What its pool hears, the same object for all items of a pool."""

    @property
    def key(self) -> str:
        """What its random numbers are drawn from."""
        return self.parts[0].key + ("/silence" if self.silence else "")

    @property
    def utterance_id(self) -> str:
        """Its utterances, for messages."""
        return ", ".join(part.utterance_id for part in self.parts)

    @property
    def duration_s(self) -> float:
        """Of its audio before the change."""
        return self.parts[-1].start_s + self.parts[-1].duration_s

    @property
    def times_s(self) -> list[tuple[float, float]]:
        """When each part begins and ends, as it is heard."""
        pace = self.change.pace
        return [(part.start_s / pace, (part.start_s + part.duration_s) / pace) for part in self.parts]


@dataclass(frozen=True, slots=True)
class Room:
    """What a window and the decoder hold: seconds as they are heard, token ids of text and timestamps."""

    seconds: float
    tokens: int


def pack(
    parts: Iterable[Part],
    who: Callable[[int], tuple[int, int]],
    num_tokens: Callable[[int], int],
    change_of: Callable[[str], Change],
    room: Room,
    draw_key: tuple[int, int],
) -> Iterator[tuple[tuple[Part, ...], Change, tuple[Part, ...]]]:
    """Join utterances of one speaker and language, in their order; who is heard again begins anew.

    Args:
        parts: what is heard in a pool.
        who: of a row's number, its speaker and language.
        num_tokens: of a row's number, the token ids of its text and its timestamps.
        change_of: the change of an item, drawn from the key of its first part.
        draw_key: seed and epoch; the pauses are drawn from these and the utterance that comes after.

    Yields:
        The parts of an item, its change, and the parts of the item before it of the same speaker.
    """
    speakers: dict[tuple[int, int, int], list[Part]] = defaultdict(list)
    for part in parts:
        speakers[(part.copy, *who(part.number))].append(part)
    for spoken in speakers.values():
        before: tuple[Part, ...] = ()
        joined: list[Part] = []
        tokens, change = 0, augment.NOTHING
        for part in sorted(spoken, key=lambda part: part.number):
            start_s = 0.0
            if joined:
                share = augment.draw(*draw_key, f"{part.key}/pause").random()
                pause_s = PAUSE_S[0] + (PAUSE_S[1] - PAUSE_S[0]) * share
                start_s = joined[-1].start_s + joined[-1].duration_s + pause_s
            tokens += num_tokens(part.number)
            too_long = (start_s + part.duration_s) / change.pace > room.seconds
            if joined and (too_long or tokens > room.tokens):
                yield tuple(joined), change, before
                before, joined, start_s, tokens = tuple(joined), [], 0.0, num_tokens(part.number)
            if not joined:
                change = change_of(part.key)
            joined.append(replace(part, start_s=start_s))
        yield tuple(joined), change, before
