"""Whisper's normaliser is used as it is: the same as transformers' on varied sentences with straight apostrophes."""

from __future__ import annotations

import random
import re

from smallvoice.scoring.normalize import WHISPER_ENGLISH

TEXT = """
the a child bear beer colour grey centre organise theatre mum favourite travelling towards
one two twenty three hundred thousand million and point oh zero double triple half first second 21st
0 1 12 123 2,000 3.14 1960s 5th 100% $5 $5.50 £20 €3 7:30 1/2 00012 ¢5 5%
don't can't won't he's she'd they'll we've I'm let's ain't gonna wanna 'cause y'all it's been
Mr. Mrs. Dr. St. Prof. um uh hmm mm mhm mmm [noise] (laughs) <unk> well-known e-mail
café naïve Zoë façade … — ! ? , . ; : " ' ’ & @ # + = ♪ 👧🏽 你好 straße œuvre
"""


def test_the_same_as_transformers_on_ten_thousand_sentences() -> None:
    from transformers.models.whisper.english_normalizer import EnglishTextNormalizer
    from whisper_normalizer.english import EnglishSpellingNormalizer

    theirs = EnglishTextNormalizer(EnglishSpellingNormalizer().mapping)
    chance, pieces = random.Random(0), TEXT.split()
    different = []
    for _ in range(10_000):
        words = [chance.choice(pieces) for _ in range(chance.randint(0, 14))]
        text = " ".join(word.upper() if chance.random() < 0.1 else word for word in words)
        if chance.random() < 0.2:
            text = text.replace(" ", chance.choice(["  ", ", ", "-", ""]), 2)
        straight = re.sub(r"(?<=\w)’(?=\w)", "'", text)
        if WHISPER_ENGLISH.apply(text) != theirs(straight):
            different.append((text, WHISPER_ENGLISH.apply(text), theirs(straight)))
    assert not different, different[:3]
