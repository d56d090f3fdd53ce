from __future__ import annotations

from pathlib import Path

import pytest

from smallvoice.reporting.privacy import model_name, printable, shareable, source_name


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/home/anna/x.wav: truncated", "(local) truncated"),
        ("cannot read '/data/b c'", "cannot read '(local)'"),
        ('"/data/b c" and it\'s', '"(local)" and it\'s'),
        ("~/models", "(local)"),
        ("../models/anna and ./x", "(local) and (local)"),
        ("C:\\Users\\anna\\x", "(local)"),
        ("file:///srv/anna", "(local)"),
        ("openai/whisper-base", "openai/whisper-base"),
        ("https://openslr.org/101", "https://openslr.org/101"),
        ('age_years < 18 and gender == "f"', 'age_years < 18 and gender == "f"'),
        ("176.5 GFLOP/s, 1/2", "176.5 GFLOP/s, 1/2"),
        ("ends . and / alone", "ends . and (local) alone"),
    ],
)
def test_paths_are_taken_out(text: str, expected: str) -> None:
    assert shareable(text) == expected


def test_nested_values_and_keys_are_cleaned() -> None:
    assert shareable({"/home/anna": ["/x/y", 3, None, {"a": "~/b"}]}) == {
        "(local)": ["(local)", 3, None, {"a": "(local)"}]
    }


def test_folders_are_not_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "weights" / "lindenschule").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert model_name("weights/lindenschule") == model_name("weights") == "a local model"
    assert source_name("Lindenschule_2024") == "a local folder", "one word is no corpus that is known by name"
    assert source_name("hf:owner/name") == "hf:owner/name"
    assert model_name("openai/whisper-base") == "openai/whisper-base"
    assert model_name("tiny.en") == "tiny.en"
    for folder in ("/srv/model", "./model", "../anna/model", "a/b/c", "~/x", "C:\\m"):
        assert model_name(folder) == "a local model"
    assert source_name("speechocean762") == "speechocean762"
    assert source_name("data/anna") == "a local folder"


def test_unprintable_characters_are_marked() -> None:
    assert printable("a\x00b\ud800c\nd\u202e") == "a\ufffdb\ufffdc\nd\u202e"
