"""What a text rule looks for: the patterns of docs/text-rules.md as regular expressions that take linear time.

All are of the `regex` module, which knows `\\p{L}` and has a timeout; only `expression` takes a user's own.
"""

from __future__ import annotations

import warnings
from typing import Any

import regex

from smallvoice.corpus.text_style import is_of_word

PUNCTUATION = '.,:?!;"“”„‟«»‹›‘’‚…¿¡—–―。，、．？！：；「」『』・،؛؟۔।॥'
"""Of any script; between them the same marks as in `SENTENCE_MARKS`."""
_MAX_EXPRESSION = 500
_MAX_REPEATS = 10_000
"""`regex` writes counted repeats out, so `((a{1000}){1000}){1000}` would fill the memory."""

_LETTER = r"[\p{L}\p{M}]"
_WORD = r"[\p{L}\p{M}\p{N}\u200c\u200d]"
"""As `is_of_word`."""

Found = list[tuple[Any, str | None]]
"""Compiled searches, and the templates of what takes their place; None: only looked for."""

QUOTED = regex.compile(
    # A quotation mark that may be an apostrophe is one only where its partner stands: not in ’cause or goin’.
    rf"(?<!{_WORD})(?:‘((?:[^‘’]|’(?={_WORD}))*+)’|‚([^‚‘]*+)‘)(?!{_WORD})"
)
"""`‘hello’` and `‚hallo‘`; groups 1 and 2 are what stands inside."""
SENTENCE_MARKS = regex.compile(
    # Between digits they are part of a number or a time, which a space would change.
    r"(?<!\p{N})[.,:，：．]|[.,:，：．](?!\p{N})"
    r'|[?!;"“”„‟«»‹›‚…¿¡—–―。、？！；「」『』・،؛؟۔।॥]|-{2,}'
    # On their own: nobody's hyphen or apostrophe.
    r"|(?<!\S)['‘’-]++(?!\S)"
)


class WrongPattern(ValueError):
    """What is wrong with a pattern, for its user."""


def search(text: str, *, needs_inside: bool = False, max_words: int | None = None) -> Any:
    """A pattern such as `{...}` or `xxx`; where it has `...`, group 1 is what is inside.

    Raises:
        WrongPattern: three dots where they cannot be, or none where an inside is needed.
    """
    text = " ".join(text.split())
    before, dots, after = (part.strip() for part in text.partition("..."))
    if not dots:
        if needs_inside or max_words is not None:
            raise WrongPattern(f'{text!r} has no inside: write the marks around three dots, as in "((...))"')
        return literal(text)
    if not before or not after or "..." in after:
        raise WrongPattern(f'{text!r}: three dots once, with a mark before and after them, as in "((...))"')
    opening, closing = _escaped(before), _escaped(after)
    # Never past another mark of the same kind: a bracket that somebody forgot must not swallow words.
    inside = rf"(?!{opening}|{closing})"
    words = rf"(?:{inside}.)*+"
    if max_words is not None:
        words = rf"\s*+(?:(?:{inside}\S)++\s*+){{0,{max_words}}}+"
    return regex.compile(f"{_edge(before, '<!', 0)}{opening}({words}){closing}{_edge(after, '!', -1)}")


def literal(text: str) -> Any:
    """The text itself, as whole words where it starts or ends with a letter or digit."""
    text = " ".join(text.split())
    return regex.compile(_edge(text, "<!", 0) + _escaped(text) + _edge(text, "!", -1))


def strip(marks: list[str], side: str) -> Found:
    """Marks at the `before`, `after` or `both` edges of words."""
    any_mark = "|".join(regex.escape(mark) for mark in marks)
    before = rf"(?<!{_WORD}|{any_mark})(?:{any_mark})++(?=['’]?{_WORD})"
    after = rf"(?<={_WORD}['’]?)(?:{any_mark})++(?!{_WORD})"
    chosen = {"before": [before], "after": [after], "both": [before, after]}[side]
    return [(regex.compile(pattern), "") for pattern in chosen]


def fragment(mark: str, keep: bool) -> Found:
    """A word with one mark where the rest of it is missing. A dash (`--`) or a hyphen inside a word is none."""
    escaped = regex.escape(mark)
    before = rf"(?<!{_WORD}|{escaped}){escaped}(?=['’]?{_LETTER})"
    after = rf"(?<={_LETTER}['’]?){escaped}(?!{_WORD}|{escaped})"
    if not keep:
        rest = rf"(?:{_WORD}|['’-](?={_WORD}))*+"
        before = rf"{before}['’]?{rest}"
        after = rf"(?<!{_WORD}|['’-])['’]?{_WORD}{rest}['’]?{after}"
    return [(regex.compile(before), ""), (regex.compile(after), "")]


def expression(text: str, template: str | None) -> tuple[Any, str | None]:
    """A regular expression of the user's, which may be wrong or hungry.

    Raises:
        WrongPattern: it or its template is not valid, too long, repeats too often, or contains itself.
    """
    if len(text) > _MAX_EXPRESSION:
        raise WrongPattern(f"an expression of {len(text)} characters; {_MAX_EXPRESSION} at most")
    repeats = 1
    for low, high in regex.findall(r"\{\s*+(\d*+)\s*+,?+\s*+(\d*+)\s*+\}", text):
        repeats *= max(1, int((low or "0")[:9]), int((high or "0")[:9]))
    if repeats > _MAX_REPEATS or regex.search(r"\(\?(?:R|[+-]?\d|&|P>)", text):
        raise WrongPattern(f"an expression that repeats over {_MAX_REPEATS} times, or contains itself, is not taken")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            pattern = regex.compile(text)
            if template is not None:
                # With a second choice it matches nothing at all, so that the template is looked at.
                regex.compile(f"{text}|").sub(template, "")
    except (regex.error, IndexError, OverflowError, RecursionError) as error:
        raise WrongPattern(f"{text!r} is not a regular expression that can be used: {error}") from None
    return pattern, template


def template(text: str) -> str:
    """A text that is written as it is."""
    return text.replace("\\", r"\\")


def _edge(text: str, look: str, end: int) -> str:
    """What starts or ends with a letter or digit is a whole word there."""
    return f"(?{look}{_WORD})" if is_of_word(text[end]) else ""


def _escaped(text: str) -> str:
    """The text itself; a space stands for any white space, and beside a mark for none too: `(( ))` is `(())`."""
    pattern = ""
    for index, character in enumerate(text):
        if character != " ":
            pattern += regex.escape(character)
        elif is_of_word(text[index - 1]) and is_of_word(text[index + 1]):
            pattern += r"\s+"
        else:
            pattern += r"\s*"
    return pattern
