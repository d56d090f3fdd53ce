"""The main tier of CHAT in words: one grammar, whose table for users is `docs/chat.md`.

Codes: https://talkbank.org/0info/manuals/CHAT.html. A line is cut into tokens by `_TOKEN`. Words, groups (`<...>`),
omissions and events are items; a code in brackets says something of the item before it. Words are translated by
`_word`, which is cached: a transcript has few different ones.

Two texts can be made. `spoken` is what is heard: retracings, fragments and shortened forms stay as they were said.
`target` is what was meant: replacements are taken, retracings and fragments left out, shortened forms completed.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass, field
from functools import lru_cache

UNINTELLIGIBLE = "unintelligible"
PHONETIC = "phonetic form"
OTHER_SPEAKER = "other speaker"
NOT_UNDERSTOOD = "code not understood"

_MAX_REPEATED_WORDS = 200
"""`[x 900]` is a slip or an attack: no child's 900 words are one utterance."""

# CHAT's own signs, none of which is a sound. Those that part words, and those that stand on or in words.
_SEPARATORS = "“”„‡«»‹›〔〕≈≋≡∞→←↗↖↘↙⇗⇘,;?!。、，；：？！…⋯؟،؛۔।॥—–¿¡・「」『』《》（）"
_ON_WORDS = "♪♫⁇§⁎°∆∇∬∮▁▔◉☺♋⁑↑↓↻≠∙∾⤆⤇"
_IN_WORDS = "^~ˈˌːʔʰ#"
_GREEK_SIGNS = "ΫἩ"
"""Yawning, and laughter inside a word: signs, unless the word is Greek."""
_UNSEEN = "".join(map(chr, [*range(0x20), 0x7F, 0xAD, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), 0x2060, 0xFEFF]))
_REMOVED = str.maketrans("", "", _ON_WORDS + _IN_WORDS + _UNSEEN)
_WITHOUT_GREEK_SIGNS = str.maketrans("", "", _GREEK_SIGNS)
_APOSTROPHES = str.maketrans("’‘ʼ`´", "'''''")
_EDGES = ".:-·"

_TOKEN = re.compile(
    rf"""
    \s+
  | (?P<code>     \[ [^\[\]]* \] )
  | (?P<open>     < )
  | (?P<close>    > )
  | (?P<comment>  \(\( [^()]* \)\) )
  | (?P<pause>    \( \s* (?: \.{{1,3}} | … | [\d.:_]+ ) \s* \) | \#+ (?: long | [\d._:]+ )? (?= \s | \Z ) )
  | (?P<event>    &= [^\s<>\[\]{_ON_WORDS}]* )
  | (?P<long>     & [{{}}] [^\s<>\[\]]* )
  | (?P<other>    &\* [^\s<>\[\]]* )
  | (?P<link>     \+ [\"“”]? (?: /{{0,3}} [.?!…]+ | /{{1,3}} ) | \+ [+^<,"“”≈≋=] )
  | (?P<between>  [{_SEPARATORS}"]+ )
  | (?P<word>     (?: [^\s\[\]<>+(&{_SEPARATORS}"]+
                    | &[-+~] | & (?! [=*{{}}] ) | \+ (?= [\w(] ) | \( (?! \s* [.\d(…] ) )+ )
  | (?P<stray>    . )
    """,
    re.VERBOSE | re.DOTALL,
)

_SILENT_CODE = re.compile(
    r"""
    \[ (?:
        [=*%+^$"#&@][^\]]*      # explanation, error, comment, postcode, free code, code, quotation, duration, language
      | :[^\]]*                 # replacement, which only the target text takes
      | /{1,3} | /-+ | /\? | //\?
      | [<>][^\]]*              # overlap
      | \?+ | !+ | !\* | e
      | -[^\]]*                 # language of the utterance
    ) \]
    """,
    re.VERBOSE,
)
_RETRACING = frozenset({"[/]", "[//]", "[///]", "[/-]", "[/--]", "[/?]", "[//?]"})
_REPEATED = re.compile(r"\[[xX×]\s*(\d{1,3})\]")
_LANGUAGE = re.compile(r"\[-\s*([A-Za-z]{2,3})\b[^\]]*\]")
_REPLACED = re.compile(r"\[::?=?\s*([^\]]*)\]")

_OMITTED = re.compile(r"0\.?\Z|0+[-*'(]?[^\W\d_]")
_LAUGHTER = re.compile(r"\(h+\)")
_SHORTENED = re.compile(r"\(([^()]*)\)")
_OVERLAP = re.compile(r"[⌈⌉⌊⌋][1-9]?")
_LENGTHENED = re.compile(r"(?<!\d):|:(?!\d)")
_PLAIN = re.compile(r"[\w'·׳״־\u200c\u200d-]+")
_KNOWN_MARKS = re.compile(r"[a-z]*(?:-[a-z]+)*(?::[\w+&:-]*)?", re.IGNORECASE)
_NO_WORDS = {"xxx": UNINTELLIGIBLE, "xx": UNINTELLIGIBLE, "yyy": UNINTELLIGIBLE, "yy": UNINTELLIGIBLE, "www": "www"}
_SIGNED = frozenset({"sl", "sg"})

# Places that are not words. They stand among the words until the end, so that a replacement can take them away.
_PLACES = {"\0xxx": UNINTELLIGIBLE, "\0u": PHONETIC}


@dataclass(frozen=True, slots=True)
class Words:
    """What a main line says."""

    text: str
    """The words, with single spaces; no punctuation."""
    flags: tuple[str, ...] = ()
    not_understood: tuple[str, ...] = ()
    """The codes that the table does not have."""
    language: str | None = None
    """Of the whole utterance, where `[- spa]` says it."""
    postcodes: tuple[str, ...] = ()
    not_transcribed: bool = False
    """`www`: there is speech that nobody wrote down."""


@dataclass(slots=True)
class _Line:
    """A main line while it is read."""

    target: bool
    conversation: bool
    words: list[str] = field(default_factory=list)
    item: int = 0
    """Where the last item begins in `words`: what a code in brackets is about."""
    groups: list[int] = field(default_factory=list)
    """Where the open groups begin."""
    bad: list[str] = field(default_factory=list)
    flags: set[str] = field(default_factory=set)
    language: str | None = None
    postcodes: list[str] = field(default_factory=list)

    def read(self, line: str) -> None:
        for found in _TOKEN.finditer(line):
            kind, token = found.lastgroup, found[0]
            if kind == "word":
                self.word(token)
            elif kind == "code":
                self.code(token)
            elif kind == "open":
                self.groups.append(len(self.words))
            elif kind == "close" and self.groups:
                self.item = self.groups.pop()
            elif kind in ("event", "long", "other"):
                self.item = len(self.words)
                self.flags |= {OTHER_SPEAKER} if kind == "other" else set()
            elif kind in ("stray", "close"):
                self.bad.append(token)
        self.bad += "<" * len(self.groups)

    def word(self, token: str) -> None:
        spoken = _word(token, self.target, self.conversation)
        if spoken.is_item:
            self.item = len(self.words)
        self.words += spoken.words
        if spoken.bad:
            self.bad.append(token)

    def code(self, code: str) -> None:
        """What stands in brackets, about the item before it."""
        code = f"[{code[1:-1].strip()}]"
        if code in _RETRACING:
            if self.target:
                del self.words[self.item :]
        elif self.target and (replaced := _REPLACED.fullmatch(code)):
            start = self.item
            del self.words[start:]
            for token in replaced[1].split():
                self.word(token)
            self.item = start
        elif repeated := _REPEATED.fullmatch(code):
            self.repeat(code, int(repeated[1]))
        elif code.startswith("[-") and (language := _LANGUAGE.fullmatch(code)):
            self.language = language[1].lower()
        elif code.startswith("[+"):
            self.postcodes.append(code[2:-1].strip())
        elif not _SILENT_CODE.fullmatch(code):
            self.bad.append(code)

    def repeat(self, code: str, times: int) -> None:
        """`[x 3]`: said three times. The audio has it three times; what was meant is one."""
        words = self.words[self.item :]
        if times == 0 or len(words) * times > _MAX_REPEATED_WORDS:
            self.bad.append(code)
        elif not self.target:
            self.words += words * (times - 1)


def translate(line: str, *, target: bool = False, conversation: bool = False) -> Words:
    """The words of a main line without its speaker and media bullets.

    Args:
        target: what was meant, not what was said.
        conversation: the file is in CA notation (`@Options: CA`), where `(word)` is a word heard with difficulty.
    """
    read = _Line(target, conversation)
    read.read(line)
    flags = read.flags | {_PLACES[word] for word in read.words if word in _PLACES}
    if read.bad:
        flags.add(NOT_UNDERSTOOD)
    return Words(
        text=" ".join(word for word in read.words if not word.startswith("\0")),
        flags=tuple(sorted(flags)),
        not_understood=tuple(read.bad),
        language=read.language,
        postcodes=tuple(read.postcodes),
        not_transcribed="\0www" in read.words,
    )


@dataclass(frozen=True, slots=True)
class _Word:
    words: tuple[str, ...] = ()
    bad: bool = False
    is_item: bool = True
    """False for punctuation, which no code is about."""


@lru_cache(maxsize=2**16)
def _word(token: str, target: bool, conversation: bool) -> _Word:
    """One token in words; most are what they seem."""
    if token.isascii() and token.isalnum() and token[0] != "0" and token.lower() not in _NO_WORDS:
        return _Word((token,))
    form, at, marks = token.partition("@")
    form = _without_signs(form, target)
    if _OMITTED.match(form):
        return _Word()
    fragment = form[:1] == "&" and form[1:2] != "-"
    if form[:1] == "&" and len(form) > 1:
        form = form[1:].lstrip("-+")
    marks, apostrophe, ending = _OVERLAP.sub("", marks).translate(_REMOVED).strip(_EDGES).partition("'")
    form, dollar, _ = form.partition("$")
    if marks in _SIGNED or (fragment and target):
        return _Word()
    if marks == "u" and form not in _NO_WORDS:
        return _Word(("\0u",))
    form += apostrophe + ending  # doggy@c's
    form, balanced = _completed(form, target, conversation)
    pieces = [_plain(piece) for piece in form.translate(_APOSTROPHES).replace("_", " ").replace("+", " ").split()]
    words = [word for piece in pieces for word in piece[0]]
    bad = not balanced or any(piece[1] for piece in pieces)
    if at or dollar:
        bad |= not words or (bool(at) and not _KNOWN_MARKS.fullmatch(marks.partition("$")[0]))
    return _Word(tuple(words), bad, is_item=bool(words) or bad or any(char.isalnum() for char in token))


def _without_signs(token: str, target: bool) -> str:
    """Without the signs of conversation analysis, stress, lengthening and pauses inside words."""
    form = _OVERLAP.sub("", token)
    if "↫" in form:
        form = _repeated_sounds(form, target)
    form = _LENGTHENED.sub("", form.translate(_REMOVED))
    plain = form.translate(_WITHOUT_GREEK_SIGNS)
    return form if any("\u0370" <= char <= "\u03ff" or "\u1f00" <= char <= "\u1fff" for char in plain) else plain


def _repeated_sounds(form: str, target: bool) -> str:
    """`↫s-s↫sun`: s-s-sun was said, sun was meant."""
    parts = form.split("↫")
    if len(parts) % 2 == 0:
        return "".join(parts)
    said = parts[0]
    for sounds, rest in zip(parts[1::2], parts[2::2], strict=True):
        said += rest if target else f"{sounds}-{rest}"
    return said


def _completed(form: str, target: bool, conversation: bool) -> tuple[str, bool]:
    """`(be)cause`: because was meant, cause was said; and whether the parentheses are balanced."""
    if "(" not in form and ")" not in form:
        return form, True
    if conversation and form.startswith("(") and (form.endswith(")") or ")" not in form):
        return form.strip("()"), True
    if conversation:
        form = _LAUGHTER.sub("", form)
    form = _SHORTENED.sub(r"\1" if target else "", form)
    plain = form.replace("(", "").replace(")", "")
    return plain, conversation or plain == form


def _plain(piece: str) -> tuple[list[str], bool]:
    """The words of a piece, and whether something in it is no part of a word."""
    word = piece.strip(_EDGES)
    if len(word) > 2 and word[0] == word[-1] == "'":
        word = word[1:-1]
    if not word.strip("'"):
        return [], False
    if word.lower() in _NO_WORDS:
        return ["\0www" if word.lower() == "www" else "\0xxx"], False
    if _PLAIN.fullmatch(word):
        return [word], False
    # A letter's accents and vowel signs, where Unicode has no single character for both.
    kept = "".join(char if _PLAIN.match(char) or unicodedata.category(char)[0] == "M" else " " for char in word)
    return [part for part in (part.strip(_EDGES) for part in kept.split()) if part], kept != word
