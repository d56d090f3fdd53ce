"""Recordings and transcripts -> one corpus on disk."""
