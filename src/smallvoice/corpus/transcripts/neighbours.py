"""Recordings of one audio file: each knows where the others' speech is.

A file whose segments stand in two splits, sessions or channels becomes several recordings. What another of them
holds is no segment of this one, and still speech: a margin must not enter it, and nothing is joined across it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import replace

from smallvoice.corpus.transcripts.segment import Item, Recording, Segment


def with_neighbours(items: Iterable[Item]) -> Iterator[Item]:
    """The same items, each recording with the timed segments that others of its audio have in its channel."""
    listed = list(items)
    of_audio: dict[object, list[Recording]] = defaultdict(list)
    for item in listed:
        if isinstance(item, Recording):
            of_audio[item.audio].append(item)
    for item in listed:
        if isinstance(item, Recording) and len(of_audio[item.audio]) > 1:
            beside = _beside(item, of_audio[item.audio])
            yield replace(item, unwritten=(*item.unwritten, *beside))
        else:
            yield item


def _beside(one: Recording, recordings: list[Recording]) -> Iterator[Segment]:
    # The same speech in two folders or tables, in whatever words, is not its own neighbour.
    own = {(segment.start_s, segment.end_s) for segment in one.segments}
    for other in recordings:
        shares_channel = None in (one.channel, other.channel) or one.channel == other.channel
        if other is one or not shares_channel:
            continue
        for segment in other.segments:
            is_timed = segment.start_s is not None or segment.end_s is not None
            if is_timed and (segment.start_s, segment.end_s) not in own:
                yield segment
