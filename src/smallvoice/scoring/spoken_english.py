"""English as it may be written down: the ways to say digits, to spell contractions, and to spell British words.

Whisper's normaliser turns words into digits, writes contractions out and makes spelling American, and throws fillers
away; what a child said is then not what is scored. Here nothing is changed: each spelling becomes a choice between all
that mean the same words (`alternatives.Alternatives`), on either side, and the reference's own is what is counted.
"""

from __future__ import annotations

import re
import unicodedata
from functools import cache

from smallvoice.scoring.alternatives import Token, one_of

LONGEST_NUMBER = 15
"""Digits of a number that is read as one; a longer one is read digit by digit."""
LONGEST_DIGITS = 40
"""Digits beyond which a number is a word of its own: nobody says it, a model in a loop writes it."""

_NUMBER = re.compile(r"([$£€]?)(\d[\d,]*)(?:\.(\d+))?(st|nd|rd|th|s)?(%?)")
_CURRENCIES = {"$": ("dollar", "dollars"), "£": ("pound", "pounds"), "€": ("euro", "euros")}
_DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_APOSTROPHES = str.maketrans("’ʼ＇`", "''''")

_WHOLE = {
    "won't": ["will not"],
    "can't": ["can not", "cannot"],
    "cannot": ["can not", "can't"],
    "shan't": ["shall not"],
    "ain't": ["is not", "am not", "are not"],
    "let's": ["let us"],
    "y'all": ["you all"],
    "gonna": ["going to"],
    "wanna": ["want to"],
    "gotta": ["got to"],
    "kinda": ["kind of"],
    "sorta": ["sort of"],
    "dunno": ["don't know", "do not know"],
    "woulda": ["would have"],
    "coulda": ["could have"],
    "shoulda": ["should have"],
    "'cause": ["because", "cause"],
    "ok": ["okay"],
    "okay": ["ok"],
    "mr": ["mister"],
    "mister": ["mr"],
    "mrs": ["missus"],
    "missus": ["mrs"],
    "dr": ["doctor"],
    "doctor": ["dr"],
}
_ENDINGS = {
    "n't": ["not"],
    "'re": ["are"],
    "'ll": ["will"],
    "'ve": ["have"],
    "'m": ["am"],
    "'s": ["is", "has"],
    "'d": ["would", "had"],
}


def tokens(text: str) -> list[Token]:
    """The words of a text, with a choice wherever English writes the same words in several ways."""
    text = text.lower().translate(_APOSTROPHES)
    text = re.sub(r"[<\[][^>\]]*[>\]]|\([^)]*\)", " ", text)  # what Whisper's normaliser takes for a note
    found: list[Token] = []
    for piece in re.split(r"[\s\-–—/:]+", text):
        found += _of_piece(piece)
    return found


def _of_piece(piece: str) -> list[Token]:
    number = _NUMBER.fullmatch(piece.strip(".,;!?\"'()"))
    if number:
        return _number(number)
    plain = _letters(piece)
    return [token for word in plain.split() for token in _word(word)]


def _letters(piece: str) -> str:
    """Without diacritics and punctuation, but for apostrophes inside a word; digits stand by themselves."""
    kept = []
    for character in unicodedata.normalize("NFKD", piece):
        kind = unicodedata.category(character)
        if character == "'" or kind[0] in "LN":
            kept.append(character)
        elif kind[0] in "PSZC":
            kept.append(" ")
    words = re.findall(r"\d+|[^\s\d]+", "".join(kept))
    return " ".join(word if word in _WHOLE else word.strip("'") for word in words)


def _word(word: str) -> list[Token]:
    if word.isdecimal():
        return one_of(_ways_to_say(word))
    options = [word, *_WHOLE.get(word, ())]
    for ending, meanings in _ENDINGS.items():
        stem = word.removesuffix(ending)
        if word not in _WHOLE and stem and stem != word:
            options += [f"{stem} {meaning}" for meaning in meanings]
    options += _spellings().get(word, ())
    return one_of(tuple(option.split()) for option in options)


@cache
def _spellings() -> dict[str, list[str]]:
    """British word → American, and back."""
    from whisper_normalizer.english import EnglishSpellingNormalizer

    american: dict[str, str] = EnglishSpellingNormalizer().mapping
    both: dict[str, list[str]] = {}
    for british, other in american.items():
        both.setdefault(british, []).append(other)
        both.setdefault(other, []).append(british)
    return both


def _number(found: re.Match[str]) -> list[Token]:
    currency, whole, fraction, ending, percent = found.groups()
    whole = whole.replace(",", "")
    if ending in ("st", "nd", "rd", "th"):
        ways = [(f"{whole}{ending}",), *_ordinal(whole)]
    elif ending == "s":
        ways = [(f"{whole}s",), *(_plural(way) for way in _ways_to_say(whole) if way[-1].isalpha())]
    else:
        ways = _ways_to_say(whole)
    if currency and fraction and len(fraction) == 2 and len(whole) <= LONGEST_NUMBER:
        return one_of(_amount(currency, whole, fraction))
    if fraction:
        point = tuple(word for digit in fraction for word in _digit(digit))
        ways = [(*way, "point", *point) for way in ways]
    after: list[tuple[str, ...]] = [()]
    if currency:
        after = [(name,) for name in _CURRENCIES[currency]]
    elif percent:
        after = [("percent",), ("per", "cent")]
    return one_of((*way, *rest) for rest in after for way in ways)


def _amount(currency: str, whole: str, cents: str) -> list[tuple[str, ...]]:
    """$5.50: five dollars fifty, five dollars and fifty cents, five fifty, five point five zero dollars."""
    point = [(*way, "point", *map(_DIGITS.__getitem__, map(int, cents))) for way in _ways_to_say(whole)]
    ways = [(*way, name) for name in _CURRENCIES[currency] for way in point]
    for way in _cardinal(int(whole)):
        for cent in _cardinal(int(cents)) if int(cents) else [()]:
            for name in _CURRENCIES[currency]:
                ways += [(*way, name, *cent)]
                ways += [(*way, name, *joint, *cent, "cents") for joint in ((), ("and",)) if cent]
            ways += [(*way, *cent)]
    return ways


@cache
def _ways_to_say(digits: str) -> list[tuple[str, ...]]:
    """`123`: as it stands, one two three, one hundred and twenty three, one hundred twenty three, one twenty three."""
    ways: list[tuple[str, ...]] = [(digits,)]
    if len(digits) > LONGEST_DIGITS:
        return ways
    ways.append(tuple(word for digit in digits for word in _digit(digit)))
    if "0" in digits:
        ways.append(tuple("oh" if digit == "0" else _DIGITS[int(digit)] for digit in digits))
    if len(digits) > LONGEST_NUMBER or (digits[0] == "0" and len(digits) > 1):
        return ways
    ways += _cardinal(int(digits))
    if len(digits) in (3, 4) and digits[-2:] != "00":
        head, tail = int(digits[:-2]), int(digits[-2:])
        last = _cardinal(tail) if tail > 9 else [("oh", _DIGITS[tail]), ("o", _DIGITS[tail])]
        ways += [(*first, *rest) for first in _cardinal(head) for rest in last]  # 1999, 350, 1905
    elif len(digits) == 4 and digits[1] != "0":
        ways += [(*first, "hundred") for first in _cardinal(int(digits[:2]))]  # 1900
    return list(dict.fromkeys(ways))


def _digit(digit: str) -> tuple[str, ...]:
    return (_DIGITS[int(digit)],)


@cache
def _cardinal(number: int) -> list[tuple[str, ...]]:
    """With and without "and", and with "a" for a leading "one"."""
    from num2words import num2words

    spoken = tuple(re.findall(r"[a-z]+", num2words(number)))
    ways = [spoken, tuple(word for word in spoken if word != "and")]
    if len(spoken) > 1 and spoken[0] == "one":
        ways += [("a", *way[1:]) for way in ways]
    return list(dict.fromkeys(ways))


def _ordinal(digits: str) -> list[tuple[str, ...]]:
    if len(digits) > LONGEST_NUMBER:
        return []
    from num2words import num2words

    spoken = tuple(re.findall(r"[a-z]+", num2words(int(digits), to="ordinal")))
    return list(dict.fromkeys([spoken, tuple(word for word in spoken if word != "and")]))


def _plural(way: tuple[str, ...]) -> tuple[str, ...]:
    """1960s: nineteen sixties."""
    last = way[-1]
    return (*way[:-1], f"{last[:-1]}ies" if last.endswith("y") else f"{last}s")
