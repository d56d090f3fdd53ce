"""How fast `prepare` is, what memory it takes, and what the readers make of a folder of transcripts.

    python benchmarks/ingest.py speed  --data DIR       10-minute recordings, 16 kHz wav and 44.1 kHz stereo mp3
    python benchmarks/ingest.py memory --data DIR       peak memory of 1 hour and of 20 hours
    python benchmarks/ingest.py read TRANSCRIPTS        a table per folder: segments, words, flags, rejections

DIR holds speechocean762, whose utterances are joined (and repeated) to long recordings with label tracks.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import soundfile
import soxr

from smallvoice.corpus.reading import read_transcripts
from smallvoice.errors import InputError
from smallvoice.recipe import CorpusRecipe

RATE = 16_000
PAUSE_S = 0.5
RECORDING_S = 600

PREPARE = """
import json, resource, sys, time
from pathlib import Path
from smallvoice import verbs
from smallvoice.recipe import CorpusRecipe
started = time.perf_counter()
facts = verbs.prepare([sys.argv[1]], Path(sys.argv[2]), recipe=CorpusRecipe(language="en"))
seconds = time.perf_counter() - started
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_mb": peak / (1024 if sys.platform == "linux" else 1 << 20),
                  "kept": facts["ledger"]["kept"], "segments": facts["ledger"]["segments"]}))
"""


def utterances(data: Path) -> Iterator[tuple[np.ndarray, str]]:
    """Real utterances and their words, again and again."""
    folder = data / "speechocean762"
    texts = dict(line.split(maxsplit=1) for line in (folder / "text").read_text(encoding="utf-8").splitlines())
    files = sorted((folder / "audio").rglob("*.flac"))
    while True:
        for path in files:
            samples, _ = soundfile.read(path, dtype="int16")
            yield samples, texts[path.stem]


def write_recordings(folder: Path, data: Path, hours: float, kind: str) -> None:
    """10-minute recordings, each beside its label track."""
    folder.mkdir(parents=True)
    source = utterances(data)
    for number in range(round(hours * 3600 / RECORDING_S)):
        parts: list[np.ndarray] = []
        lines: list[str] = []
        at = 0
        while at < RECORDING_S * RATE:
            samples, text = next(source)
            lines.append(f"{at / RATE:.4f}\t{(at + len(samples)) / RATE:.4f}\t{text}\n")
            parts += [samples, np.zeros(round(PAUSE_S * RATE), np.int16)]
            at += len(samples) + len(parts[-1])
        child = folder / f"child{number % 40}"
        child.mkdir(exist_ok=True)
        (child / f"r{number}.txt").write_text("".join(lines), encoding="utf-8")
        joined = np.concatenate(parts)
        if kind == "wav":
            soundfile.write(child / f"r{number}.wav", joined, RATE)
        else:
            stereo = np.repeat(soxr.resample(joined, RATE, 44_100)[:, None], 2, axis=1)
            soundfile.write(child / f"r{number}.mp3", stereo, 44_100)


def prepared(source: Path, out: Path) -> dict[str, float]:
    """`prepare` in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PREPARE, str(source), str(out)], capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def speed(data: Path, hours: float, repeats: int) -> None:
    print("| recordings | hours | seconds (median) | × real time | utterances |\n|---|---|---|---|---|")
    for kind, name in (("wav", "16 kHz wav"), ("mp3", "44.1 kHz stereo mp3")):
        with tempfile.TemporaryDirectory() as temporary:
            write_recordings(Path(temporary, "source"), data, hours, kind)
            runs = [prepared(Path(temporary, "source"), Path(temporary, f"out{n}")) for n in range(repeats)]
        seconds = statistics.median(run["seconds"] for run in runs)
        print(
            f"| {name} | {hours:g} | {seconds:.2f} | {hours * 3600 / seconds:.0f} | {runs[0]['kept']:.0f} |", flush=True
        )


def memory(data: Path, hours: list[float]) -> None:
    print("| hours | peak memory | seconds |\n|---|---|---|")
    for number in hours:
        with tempfile.TemporaryDirectory() as temporary:
            write_recordings(Path(temporary, "source"), data, number, "wav")
            run = prepared(Path(temporary, "source"), Path(temporary, "out"))
        print(f"| {number:g} | {run['peak_mb']:.0f} MB | {run['seconds']:.1f} |", flush=True)


def read(folder: Path) -> None:
    print("| folder | files | segments | timed | untimed | words | flagged | rejected |")
    print("|---|---|---|---|---|---|---|---|")
    by_folder: dict[str, list[dict]] = {}
    started = time.perf_counter()
    for place in sorted({path.parent for path in folder.rglob("*") if path.is_file()}):
        try:
            readings = [reading.as_dict() for reading in read_transcripts(place, CorpusRecipe())]
        except InputError as error:
            print(f"{place.name}: {error}", file=sys.stderr)
            continue
        by_folder[str(place.relative_to(folder))] = [row for row in readings if "/" not in row["path"]]
    for name, rows in by_folder.items():
        counts = {key: sum(row[key] for row in rows) for key in ("segments", "timed", "untimed", "words")}
        cells = [name, len(rows), *counts.values(), _reasons(rows, "flagged"), _reasons(rows, "rejected")]
        print("|", " | ".join(map(str, cells)), "|")
    print(f"\n{time.perf_counter() - started:.1f} s")


def _reasons(rows: list[dict], name: str) -> str:
    total: Counter[str] = Counter()
    for row in rows:
        total.update(row[name])
    return ", ".join(f"{count} {reason}" for reason, count in total.most_common()) or "0"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name in ("speed", "memory"):
        command = commands.add_parser(name)
        command.add_argument("--data", type=Path, required=True)
        command.add_argument("--hours", type=float, nargs="+", default=[2.0] if name == "speed" else [1.0, 20.0])
        command.add_argument("--repeats", type=int, default=3)
    commands.add_parser("read").add_argument("folder", type=Path)
    options = parser.parse_args()
    if options.command == "speed":
        speed(options.data, options.hours[0], options.repeats)
    elif options.command == "memory":
        memory(options.data, options.hours)
    else:
        read(options.folder)


if __name__ == "__main__":
    main()
