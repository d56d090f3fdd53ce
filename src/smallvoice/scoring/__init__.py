"""Hypotheses to numbers: word errors, groups of speakers, and how sure one can be. No torch, no audio."""
