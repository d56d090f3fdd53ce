"""Twenty real utterances, joined into recordings and written in each time-aligned format, come back as they were.

TextGrid, ELAN, XLSX and Lhotse files are written by those formats' own libraries, not by us.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile
from tests.corpus.corpora import prepared, rows, write_audio

from smallvoice.corpus.audio import decode_flac
from smallvoice.corpus.transcripts import kaldi
from smallvoice.corpus.transcripts.segment import Recording
from smallvoice.recipe import CorpusRecipe

RATE = 16_000
PAUSE = np.zeros(11_200, np.int16)  # 0.7 s: longer than what parts two utterances of timed words


@dataclass(frozen=True)
class Spoken:
    """An utterance in its recording."""

    text: str
    start_s: float
    end_s: float
    samples: np.ndarray

    @property
    def words(self) -> list[tuple[str, float, float]]:
        """Words that share the time evenly."""
        parts = self.text.split()
        step = (self.end_s - self.start_s) / len(parts)
        return [(word, self.start_s + n * step, self.start_s + (n + 1) * step) for n, word in enumerate(parts)]


@dataclass(frozen=True)
class Talk:
    """A recording of one speaker."""

    name: str
    speaker: str
    utterances: list[Spoken]
    duration_s: float


Writer = Callable[[Path, list[Talk]], None]


@pytest.fixture(scope="module")
def talks(shared_data: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Talk]]:
    """Four speakers of five utterances; the folder holds the audio, and each test its own transcripts."""
    folder = tmp_path_factory.mktemp("talks")
    spoken: dict[str, list[tuple[str, Path]]] = {}
    for item in kaldi.read(shared_data / "speechocean762", CorpusRecipe()):
        if isinstance(item, Recording) and (speaker := item.segments[0].speaker):
            assert isinstance(item.audio, Path)
            spoken.setdefault(speaker, []).append((item.segments[0].text, item.audio))
    made = []
    for number, (_, utterances) in enumerate(sorted(spoken.items())[:4]):
        joined, members, position = [PAUSE], [], len(PAUSE)
        for text, path in utterances[:5]:
            own, _ = soundfile.read(path, dtype="int16")
            own = own[: len(own) // 16 * 16]  # whole milliseconds, which every format can say
            members.append(Spoken(text, position / RATE, (position + len(own)) / RATE, own))
            joined += [own, PAUSE]
            position += len(own) + len(PAUSE)
        write_audio(folder / f"talk{number}.wav", np.concatenate(joined))
        made.append(Talk(f"talk{number}", f"kid{number}", members, position / RATE))
    return folder, made


def textgrid(form: str) -> Writer:
    def write(folder: Path, talks: list[Talk]) -> None:
        from praatio import textgrid as praat

        for talk in talks:
            grid = praat.Textgrid()
            entries = [(u.start_s, u.end_s, u.text) for u in talk.utterances]
            grid.addTier(praat.IntervalTier(talk.speaker, entries, 0, talk.duration_s))
            grid.save(str(folder / f"{talk.name}.TextGrid"), form, includeBlankSpaces=True)

    return write


def elan(folder: Path, talks: list[Talk]) -> None:
    from pympi import Elan

    for talk in talks:
        document = Elan.Eaf()
        document.remove_tier("default")
        document.add_tier(talk.speaker, part=talk.speaker)
        for u in talk.utterances:
            document.add_annotation(talk.speaker, round(u.start_s * 1000), round(u.end_s * 1000), u.text)
        document.add_linked_file(f"{talk.name}.wav", mimetype="audio/x-wav")
        document.to_file(str(folder / f"{talk.name}.eaf"))


def chat(folder: Path, talks: list[Talk]) -> None:
    for talk in talks:
        head = f"@UTF8\n@Begin\n@Languages:\teng\n@Participants:\tCHI {talk.speaker} Target_Child\n"
        head += f"@ID:\teng|lab|CHI|6;00.|female|||Target_Child|||\n@Media:\t{talk.name}, audio\n"
        lines = "".join(
            f"*CHI:\t{u.text} . \x15{round(u.start_s * 1000)}_{round(u.end_s * 1000)}\x15\n" for u in talk.utterances
        )
        (folder / f"{talk.name}.cha").write_text(f"{head}{lines}@End\n", encoding="utf-8")


def clock(seconds: float, mark: str) -> str:
    milliseconds = round(seconds * 1000)
    return f"{milliseconds // 3_600_000:02}:{milliseconds // 60_000 % 60:02}:{milliseconds // 1000 % 60:02}{mark}" + (
        f"{milliseconds % 1000:03}"
    )


def srt(folder: Path, talks: list[Talk]) -> None:
    for talk in talks:
        cues = "".join(
            f"{n}\n{clock(u.start_s, ',')} --> {clock(u.end_s, ',')}\n{u.text}\n\n"
            for n, u in enumerate(talk.utterances, 1)
        )
        (folder / f"{talk.name}.srt").write_text(cues, encoding="utf-8")


def vtt(folder: Path, talks: list[Talk]) -> None:
    for talk in talks:
        cues = "".join(
            f"{clock(u.start_s, '.')} --> {clock(u.end_s, '.')}\n<v {talk.speaker}>{u.text}\n\n"
            for u in talk.utterances
        )
        (folder / f"{talk.name}.vtt").write_text(f"WEBVTT\n\n{cues}", encoding="utf-8")


def labels(folder: Path, talks: list[Talk]) -> None:
    for talk in talks:
        lines = "".join(f"{u.start_s:.6f}\t{u.end_s:.6f}\t{u.text}\n" for u in talk.utterances)
        (folder / f"{talk.name}.txt").write_text(lines, encoding="utf-8")


def stm(folder: Path, talks: list[Talk]) -> None:
    lines = [f"{t.name} 1 {t.speaker} {u.start_s:.4f} {u.end_s:.4f} {u.text}\n" for t in talks for u in t.utterances]
    (folder / "all.stm").write_text("".join(lines), encoding="utf-8")


def ctm(folder: Path, talks: list[Talk]) -> None:
    lines = [
        f"{talk.name} 1 {start:.4f} {end - start:.4f} {word}\n"
        for talk in talks
        for u in talk.utterances
        for word, start, end in u.words
    ]
    (folder / "all.ctm").write_text("".join(lines), encoding="utf-8")


def rttm(folder: Path, talks: list[Talk]) -> None:
    lines = [
        f"LEXEME {talk.name} 1 {start:.4f} {end - start:.4f} {word} lex {talk.speaker} <NA> <NA>\n"
        for talk in talks
        for u in talk.utterances
        for word, start, end in u.words
    ]
    (folder / "all.rttm").write_text("".join(lines), encoding="utf-8")


def seglst(folder: Path, talks: list[Talk]) -> None:
    content = [
        {"session_id": t.name, "speaker": t.speaker, "start_time": u.start_s, "end_time": u.end_s, "words": u.text}
        for t in talks
        for u in t.utterances
    ]
    (folder / "all.seglst.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def transcriber(folder: Path, talks: list[Talk]) -> None:
    for talk in talks:
        turns = "".join(
            f'<Turn speaker="spk1" startTime="{u.start_s:.4f}" endTime="{u.end_s:.4f}">\n'
            f'<Sync time="{u.start_s:.4f}"/>\n{u.text}\n</Turn>\n'
            for u in talk.utterances
        )
        (folder / f"{talk.name}.trs").write_text(
            '<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE Trans SYSTEM "trans-14.dtd">\n'
            f'<Trans audio_filename="{talk.name}" version="1">\n<Speakers><Speaker id="spk1" name="{talk.speaker}" '
            f'type="child"/></Speakers>\n<Episode><Section type="report" startTime="0" endTime="{talk.duration_s}">\n'
            f"{turns}</Section></Episode></Trans>\n",
            encoding="utf-8",
        )


def kaldi_folder(folder: Path, talks: list[Talk]) -> None:
    names = [(f"{t.speaker}-{n:02}", t, u) for t in talks for n, u in enumerate(t.utterances)]
    tables = {
        "text": [f"{name} {u.text}" for name, _, u in names],
        "segments": [f"{name} {t.name} {u.start_s:.4f} {u.end_s:.4f}" for name, t, u in names],
        "utt2spk": [f"{name} {t.speaker}" for name, t, _ in names],
        "wav.scp": [f"{t.name} {t.name}.wav" for t in talks],
    }
    for name, lines in tables.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _table_rows(talks: list[Talk]) -> list[list[object]]:
    rows: list[list[object]] = [["audio", "start", "end", "speaker", "text"]]
    return rows + [[f"{t.name}.wav", u.start_s, u.end_s, t.speaker, u.text] for t in talks for u in t.utterances]


def table(suffix: str, delimiter: str) -> Writer:
    def write(folder: Path, talks: list[Talk]) -> None:
        with (folder / f"all.{suffix}").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file, delimiter=delimiter).writerows(_table_rows(talks))

    return write


def xlsx(folder: Path, talks: list[Talk]) -> None:
    import openpyxl

    book = openpyxl.Workbook()
    for row in _table_rows(talks):
        book.active.append(row)
    book.save(folder / "all.xlsx")


def jsonl(folder: Path, talks: list[Talk]) -> None:
    header, *content = _table_rows(talks)
    lines = [json.dumps(dict(zip(map(str, header), row, strict=True))) + "\n" for row in content]
    (folder / "all.jsonl").write_text("".join(lines), encoding="utf-8")


def lhotse(folder: Path, talks: list[Talk]) -> None:
    lhotse = pytest.importorskip("lhotse")
    cuts = []
    for talk in talks:
        recording = lhotse.Recording.from_file(folder / f"{talk.name}.wav")
        supervisions = [
            lhotse.SupervisionSegment(
                id=f"{talk.name}-{n}",
                recording_id=recording.id,
                start=u.start_s,
                duration=round(u.end_s - u.start_s, 6),
                text=u.text,
                speaker=talk.speaker,
            )
            for n, u in enumerate(talk.utterances)
        ]
        cuts.append(
            lhotse.MonoCut(
                id=talk.name,
                start=0,
                duration=recording.duration,
                channel=0,
                recording=recording,
                supervisions=supervisions,
            )
        )
    lhotse.CutSet.from_cuts(cuts).to_file(folder / "cuts.jsonl.gz")


FORMATS: dict[str, tuple[Writer, float, bool]] = {
    "TextGrid, long": (textgrid("long_textgrid"), 1e-4, True),
    "TextGrid, short": (textgrid("short_textgrid"), 1e-4, True),
    "ELAN": (elan, 1e-4, True),
    "CHAT": (chat, 1e-4, True),
    "SRT": (srt, 1e-4, False),
    "WebVTT": (vtt, 1e-4, True),
    "labels": (labels, 1e-4, False),
    "STM": (stm, 1e-4, True),
    "CTM": (ctm, 2e-4, False),
    "RTTM": (rttm, 2e-4, True),
    "SegLST": (seglst, 1e-4, True),
    "Transcriber": (transcriber, 1e-4, True),
    "Kaldi": (kaldi_folder, 1e-4, True),
    "CSV": (table("csv", ","), 1e-4, True),
    "CSV with semicolons": (table("csv", ";"), 1e-4, True),
    "TSV": (table("tsv", "\t"), 1e-4, True),
    "XLSX": (xlsx, 1e-4, True),
    "JSONL": (jsonl, 1e-4, True),
    "Lhotse": (lhotse, 1e-4, True),
}
"""Who writes it, its precision in seconds, and whether it says who speaks."""


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_words_times_and_samples_come_back(talks: tuple[Path, list[Talk]], tmp_path: Path, name: str) -> None:
    folder, spoken = talks
    write, precision_s, names_speakers = FORMATS[name]
    source = tmp_path / "source"
    source.mkdir()
    for talk in spoken:
        (source / f"{talk.name}.wav").write_bytes((folder / f"{talk.name}.wav").read_bytes())
    write(source, spoken)
    result = prepared(source, tmp_path / "out", language="en")
    assert result.facts["ledger"] == {"segments": 20, "kept": 20, "joined": 0, "dropped": {}}
    found = rows(tmp_path / "out")
    expected = sorted((u for talk in spoken for u in talk.utterances), key=lambda u: u.text)
    for row, utterance in zip(sorted(found, key=lambda row: row.text), expected, strict=True):
        assert row.text == utterance.text
        start_s = row.extra.get("segment_start_s", row.start_s)
        end_s = row.extra.get("segment_end_s", row.end_s)
        assert start_s == pytest.approx(utterance.start_s, abs=precision_s)
        assert end_s == pytest.approx(utterance.end_s, abs=precision_s)
        samples = (decode_flac(row.audio) * 32_768).astype(np.int16)
        own_start = round((start_s - row.start_s) * RATE)
        own_end = own_start + round((end_s - start_s) * RATE)
        slack = round(precision_s * RATE)
        inner = utterance.samples[slack : len(utterance.samples) - slack]
        heard = samples[max(0, own_start - slack) : own_end + slack]
        assert any(np.array_equal(heard[at : at + len(inner)], inner) for at in range(4 * slack + 1))
    assert len({row.speaker for row in found} - {None}) == (4 if names_speakers else 0)
