"""What the names of tiers say: whose they are, whether they hold speech, and which of them the user wants."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

GENERIC = frozenset(
    {"word", "words", "utterance", "utterances", "utt", "utts", "sentence", "sentences", "phrase", "phrases"}
    | {"text", "texts", "transcript", "transcripts", "transcription", "transcriptions", "trans", "content", "contents"}
    | {"orthography", "orthographic", "ortho", "orth", "ort", "ort-mau", "speech", "speaker", "speakers", "spk"}
    | {"turn", "turns", "segment", "segments", "interval", "intervals", "label", "labels", "annotation", "annotations"}
    | {
        "tier",
        "default",
        "default-lt",
        "main",
        "trs",
        "trn",
        "asr",
        "whisper",
        "silences",
        "notes",
        "comments",
        "point",
    }
    | {"points", "mark", "marks", "event", "events", "phone", "phones", "phoneme", "phonemes", "mau", "kan", "kan-mau"}
)
"""Names that say what stands on a tier, not who speaks; a number may follow (`tier 1`)."""
UTTERANCES = frozenset(
    {"utterance", "utterances", "utt", "utts", "sentence", "sentences", "phrase", "phrases", "text", "speech"}
    | {"transcript", "transcription", "orthography", "ortho", "orth", "ort", "turn", "turns"}
)
WORDS = frozenset({"word", "words", "ort-mau"})
"""Montreal Forced Aligner's and WebMAUS's names for aligned words."""
PHONES = frozenset({"phone", "phones", "phoneme", "phonemes", "mau", "kan", "kan-mau"})
"""Their names for aligned sounds, and for words in phonetic spelling."""
SEGMENTS = frozenset({"segment", "segments"})
"""Phones to a phonetician, utterances to an engineer."""
NOTES = frozenset(
    {"notes", "note", "comment", "comments", "remember-me", "on_off", "tocode", "code", "code_num", "context"}
    | {f"{name}_{kind}" for name in ("code", "code_num", "context") for kind in ("periodic", "random", "high")}
)
"""Bookkeeping of the ACLEW annotation scheme and other templates: https://osf.io/b2jep/"""


def is_chosen(name: str, patterns: Sequence[str]) -> bool:
    """Whether a tier is one of those that the user names, whole or as a pattern (`CHI*`), in any case."""
    lower = name.strip().lower()
    return any(lower == pattern.strip().lower() or fnmatchcase(lower, pattern.strip().lower()) for pattern in patterns)


def parts(name: str) -> tuple[str | None, str]:
    """Speaker and kind of a tier as the Montreal Forced Aligner names it, `anna - words`; else (None, the name)."""
    speaker, dash, kind = name.strip().rpartition(" - ")
    return (speaker.strip() or None, kind.strip().lower()) if dash else (None, name.strip().lower())


def speaker_of(name: str) -> str | None:
    """The speaker that a tier's name says: `anna` of `anna`, `anna - words` and ` anna*`; None of `words`."""
    speaker, kind = parts(name)
    if speaker and _is_generic(kind):
        return speaker
    whole = name.strip().rstrip("*").strip()
    return None if not whole or _is_generic(whole.lower()) else whole


def _is_generic(lower: str) -> bool:
    return lower in GENERIC or lower.rstrip("0123456789").rstrip(" _-#") in GENERIC
