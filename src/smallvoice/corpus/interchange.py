"""A corpus for other programs: Kaldi, Lhotse, NeMo. The audio goes along as FLAC files, bit for bit.

    Kaldi    OUT/{split}/text, wav.scp, utt2spk, spk2utt, spk2gender, spk2age, utt2lang
             https://kaldi-asr.org/doc/data_prep.html
    Lhotse   OUT/{recordings,supervisions,cuts}_{split}.jsonl.gz
             https://lhotse.readthedocs.io/en/latest/corpus.html
    NeMo     OUT/{split}.jsonl
             https://docs.nvidia.com/nemo-framework/user-guide/latest/nemotoolkit/asr/datasets.html
    all      OUT/{split}/audio/{speaker}/{id}.flac; README.txt

Paths are relative, so that the folder can be moved: Lhotse and Kaldi read them from OUT, NeMo from the manifest.
Speakers are pseudonyms. Who they are stays in the corpus. (Hugging Face `datasets` reads the corpus itself:
`load_dataset("parquet", data_files="CORPUS/train-*.parquet")`.)
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from smallvoice.corpus.building import check_room, replacing_folder
from smallvoice.corpus.utterance import Corpus, Utterance, open_corpus
from smallvoice.errors import InputError
from smallvoice.storage import write_text

To = Literal["kaldi", "lhotse", "nemo"]
Report = Callable[[int, int, str], None]
"""Told how many rows are done, how many there are, and of which split."""

_README = {
    "kaldi": """Kaldi data folders, one a split, with FLAC files.

wav.scp names the files relative to this folder: run Kaldi from here, or put the folder's path before them:
    sed -i "s# -s # -s $PWD/#" */wav.scp
Where a speaker is unknown, the session or the recording stands for one. Ages (spk2age) are in years, at the first
utterance. spk2gender and utt2lang are there only where they are known for all, as Kaldi asks for. Roles, sessions
and the times in the first recordings have no place in this format.
""",
    "lhotse": """Lhotse manifests, one set a split, with FLAC files. Paths are relative to this folder:

    from lhotse import CutSet
    cuts = CutSet.from_file("cuts_train.jsonl.gz").with_recording_path_prefix(FOLDER)

What Lhotse has no field for (age, role, session, source) is in `custom`.
""",
    "nemo": """NeMo manifests (JSON lines), one a split, with FLAC files. Paths are relative to the manifest.
""",
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Exported:
    """What `export_corpus` wrote."""

    path: Path
    to: str
    utterances: dict[str, int]
    """Split -> number of rows."""

    def as_dict(self) -> dict[str, Any]:
        return {"out": str(self.path), "to": self.to, "utterances": self.utterances}


def export_corpus(corpus_path: Path, to: To, out: Path, report: Report | None = None) -> Exported:
    """Write a corpus as Kaldi, Lhotse or NeMo have it; `out` is there when it is complete.

    Raises:
        InputError: not a prepared corpus, or `out` holds something.
        ResourceError: no room on the disk.
    """
    corpus = open_corpus(corpus_path)
    splits = corpus.splits()
    total, done = sum(splits.values()), 0
    write = {"kaldi": _kaldi, "lhotse": _lhotse, "nemo": _nemo}[to]
    with _new_folder(out) as folder:
        for split in splits:
            for _ in write(corpus, split, folder):
                done += 1
                if done % 1000 == 0:
                    check_room(folder)
                if report:
                    report(done, total, split)
        write_text(folder / "README.txt", _README[to])
    return Exported(path=out, to=to, utterances=splits)


def _written_audio(corpus: Corpus, split: str, folder: Path) -> Iterator[tuple[Utterance, str]]:
    """The rows of a split; the audio of each is written, to the path beside it (relative to `folder`)."""
    for row in corpus.utterances(split):
        path = f"{split}/audio/{row.unit}/{row.id}.flac"
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_bytes(row.audio)
        yield row, path


def _kaldi(corpus: Corpus, split: str, folder: Path) -> Iterator[None]:
    """Tables in the order of bytes, and utterances named after their speaker, so that both orders are one.

    The hyphen comes before all figures, so S0001-… stands before S00010-…, as S0001 before S00010.
    """
    tables: dict[str, list[str]] = {name: [] for name in ("text", "wav.scp", "utt2spk")}
    spoken: dict[str, list[str]] = {}
    about: dict[str, Utterance] = {}
    languages: list[str] = []
    for row, path in _written_audio(corpus, split, folder):
        name, speaker = f"{row.unit}-{row.id}", row.unit
        tables["text"].append(f"{name} {row.text}")
        tables["wav.scp"].append(f"{name} flac -c -d -s {path} |")
        tables["utt2spk"].append(f"{name} {speaker}")
        spoken.setdefault(speaker, []).append(name)
        about.setdefault(speaker, row)
        if row.language is not None:
            languages.append(f"{name} {row.language}")
        yield
    tables["spk2utt"] = [f"{speaker} {' '.join(sorted(names))}" for speaker, names in spoken.items()]
    tables["spk2age"] = [f"{name} {row.age_years:g}" for name, row in about.items() if row.age_years is not None]
    # Kaldi's own check refuses these two where they are not complete, or hold other words than f and m.
    if all(row.gender in ("f", "m") for row in about.values()):
        tables["spk2gender"] = [f"{name} {row.gender}" for name, row in about.items()]
    if len(languages) == len(tables["text"]):
        tables["utt2lang"] = languages
    for name, lines in tables.items():
        if lines:
            ordered = sorted(lines, key=lambda line: line.split(" ", 1)[0])
            write_text(folder / split / name, "".join(f"{line}\n" for line in ordered))


def _lhotse(corpus: Corpus, split: str, folder: Path) -> Iterator[None]:
    with ExitStack() as stack:
        files = {
            name: stack.enter_context(_gzipped(folder / f"{name}_{split}.jsonl.gz"))
            for name in ("recordings", "supervisions", "cuts")
        }
        for row, path in _written_audio(corpus, split, folder):
            recording = {
                "id": row.id,
                "sources": [{"type": "file", "channels": [0], "source": path}],
                "sampling_rate": row.sampling_rate,
                "num_samples": round(row.duration_s * row.sampling_rate),
                "duration": row.duration_s,
                "channel_ids": [0],
            }
            supervision = _supervision(row)
            cut = {
                "id": row.id,
                "start": 0.0,
                "duration": row.duration_s,
                "channel": 0,
                "supervisions": [supervision],
                "recording": recording,
                "type": "MonoCut",
            }
            for name, item in (("recordings", recording), ("supervisions", supervision), ("cuts", cut)):
                files[name].write(json.dumps(item, ensure_ascii=False) + "\n")
            yield


def _supervision(row: Utterance) -> dict[str, Any]:
    custom = {name: getattr(row, name) for name in ("age_years", "role", "session", "source")}
    supervision = {
        "id": row.id,
        "recording_id": row.id,
        "start": 0.0,
        "duration": row.duration_s,
        "channel": 0,
        "text": row.text,
        "language": row.language,
        "speaker": row.speaker,
        "gender": row.gender,
        "custom": {name: value for name, value in custom.items() if value is not None},
    }
    return {name: value for name, value in supervision.items() if value is not None}


def _nemo(corpus: Corpus, split: str, folder: Path) -> Iterator[None]:
    with (folder / f"{split}.jsonl").open("w", encoding="utf-8") as manifest:
        for row, path in _written_audio(corpus, split, folder):
            line = {
                "audio_filepath": path,
                "duration": row.duration_s,
                "text": row.text,
                "lang": row.language,
                "speaker": row.speaker,
                "gender": row.gender,
                "age_years": row.age_years,
                "id": row.id,
            }
            known = {name: value for name, value in line.items() if value is not None}
            manifest.write(json.dumps(known, ensure_ascii=False) + "\n")
            yield


@contextmanager
def _gzipped(path: Path) -> Iterator[IO[str]]:
    """A compressed text file without its name and time, so that the same rows give the same bytes."""
    with (
        path.open("wb") as file,
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        io.TextIOWrapper(packed, encoding="utf-8", newline="\n") as text,
    ):
        yield text


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder that takes the place of `out` if all went well.

    Raises:
        InputError: `out` is a file, or holds something.
        ResourceError: the disk is full.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"{out}: exists already and is not empty. Give a new folder to --out.")
    with replacing_folder(out) as folder:
        yield folder
