"""What `audit` reports: the limits between usual and unusual recordings and texts."""

from __future__ import annotations

from pydantic.dataclasses import dataclass

from smallvoice.recipe_types import STRICT, NotNegative, Share


@dataclass(frozen=True, kw_only=True, config=STRICT)
class AuditLimits:
    """Beyond these a row is reported.

    "Seen" is the range in 2,500 read utterances of 125 speakers of 6 to 37 years (speechocean762) and 235 spoken
    into telephones (WUW Corpus II): real corpora that were made with care lie inside.
    """

    max_words_per_s: NotNegative = 8.0
    """Seen: up to 3.6. Fast conversation has 5 to 6; more means that the text is longer than the audio."""
    max_letters_per_s: NotNegative = 35.0
    """Seen: up to 18. For languages with long words, or without spaces."""
    min_words_per_s: NotNegative = 0.2
    """Seen: from 0.36. One word in more than five seconds; counts only together with `min_letters_per_s`."""
    min_letters_per_s: NotNegative = 0.5
    """Seen: from 1.3; a "no" that somebody took four seconds to record, silence and all, has 0.5."""
    min_level_dbfs: float = -50.0
    """Seen: from -45."""
    max_level_dbfs: float = -8.0
    """Seen: up to -14. Undistorted speech has peaks 12 dB and more above its level."""
    max_clipped: Share = 0.001
    """Share of samples at full scale in runs. Seen: 0; this is 16 a second."""
    max_silence: Share = 0.9
    """Share of frames below -60 dBFS. Seen: up to 0.72."""
    min_snr_db: NotNegative = 8.0
    """Seen: from 15.7. Speech with as much noise has 6 to 9 by this estimate; see `signal.py`."""
    own_script: Share = 0.01
    """Share of a language's letters from which on their script is its own."""
