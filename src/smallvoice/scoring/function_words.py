"""Which language a text is written in, as far as its small words tell: enough to see that another one was written.

The words are those that a language repeats in nearly every sentence and others with the same letters do not have; what
several languages share, such as `de` or `me`, is left out.
"""

from __future__ import annotations

from collections.abc import Iterable

_WORDS = {
    "en": "the and is are was were of to this that with you they have has his her what there which would from she it",
    "de": "der die das und ist nicht ein eine ich sie wir ihr mit auf für den dem von zu war auch sich wie aber",
    "fr": "le les et est une des du je il elle nous vous dans pour pas qui sur au avec ce cette ils être",
    "es": "el los y es una las del por para con como pero muy está hay más yo ella ellos lo su porque",
    "it": "il gli è che di una della per non con sono questo questa anche più io lui lei nel alla ha",
    "pt": "o os é um uma não do da dos das em para com você ele ela eu mais isso muito seu",
    "nl": "het een en van ik niet zijn dat op te voor met deze ze heeft naar ook wij maar",
    "sv": "och är jag det att som på inte en för med han hon vi ett den av till var",
    "pl": "i w na się nie jest to że jak ale są przez dla tak był czy już",
    "tr": "bir ve bu için çok ne da değil mi gibi ben sen daha var olan",
    "id": "yang dan di ini itu dengan untuk tidak dari saya ke kami akan pada ada",
}
_SETS = {language: frozenset(words.split()) for language, words in _WORDS.items()}

FEWEST = 3
"""Small words of another language that are needed to say so."""


def another_language(words: Iterable[str], language: str) -> str | None:
    """The language whose small words a text is full of, where it is not the one that was expected.

    Args:
        words: in lower case.
        language: its two-letter code; of one that is not known here nothing is said.

    Returns:
        Its code, where it has at least `FEWEST` different small words in the text, and more than twice as many as
        `language` has.
    """
    if language not in _SETS:
        return None
    text = set(words)  # a child says "I I I", which is not Polish
    found = {name: sum(word in small for word in text) for name, small in _SETS.items()}
    best = max(found, key=lambda name: found[name])
    return best if found[best] >= FEWEST and found[best] > 2 * found[language] else None
