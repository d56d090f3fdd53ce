"""The tokens before the text: what tells Whisper the language, the task, and not to write timestamps."""

from __future__ import annotations

from transformers import GenerationConfig

from smallvoice.errors import RecipeError


def prefix_ids(config: GenerationConfig, language: str | None) -> list[int]:
    """The prefix of labels and of decoding alike, exactly one start token at its head.

    Multilingual: `<|startoftranscript|>` language `<|transcribe|>` `<|notimestamps|>`;
    English-only: `<|startoftranscript|><|notimestamps|>`.

    Raises:
        RecipeError: a multilingual model without a language, or a language that the model does not have.
    """
    start, no_timestamps = config.decoder_start_token_id, config.no_timestamps_token_id
    if not config.is_multilingual:
        if language not in (None, "en"):
            raise RecipeError(
                f"The model is English-only and the corpus is in {language!r}. Take a multilingual base, "
                "such as openai/whisper-base."
            )
        return [start, no_timestamps]
    if language is None:
        raise RecipeError(
            "The language is not known: neither the corpus nor the recipe says it. Give it, for English: "
            "--language en, or --set corpus.language=en (Whisper's own guess is often wrong for children)."
        )
    token = f"<|{language}|>"
    if token not in config.lang_to_id:
        known = ", ".join(sorted(name[2:-2] for name in config.lang_to_id))
        raise RecipeError(f"Whisper has no language {language!r}. It has: {known}.")
    return [start, config.lang_to_id[token], config.task_to_id["transcribe"], no_timestamps]


def allow_empty_text(config: GenerationConfig) -> None:
    """Let a model that learned what silence is write nothing: Whisper's own settings forbid the end as first token."""
    forbidden = config.begin_suppress_tokens or []
    config.begin_suppress_tokens = [token for token in forbidden if token != config.eos_token_id]
