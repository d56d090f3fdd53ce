"""Whisper itself: weights, features, the encoder at the length of the audio, adapters."""
