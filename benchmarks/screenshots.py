"""The report of a run as people see it: the top of the page on a desktop and on a phone, a PNG each.

    python benchmarks/screenshots.py RUN/report.html docs/images

Needs Chromium or Chrome on the path. The pages are opened from the disk; nothing is fetched.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import tempfile
from pathlib import Path

SIZES = {"desktop": "1280,2400", "phone": "390,2400"}
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("No Chromium on the path.")
    for name, size in SIZES.items():
        with tempfile.TemporaryDirectory() as profile:
            target = (options.out / f"report_{name}.png").resolve()
            command = [browser, *FLAGS, f"--user-data-dir={profile}", f"--window-size={size}", f"--screenshot={target}"]
            subprocess.run([*command, options.report.resolve().as_uri()], check=True, capture_output=True)
            print(target.name)


if __name__ == "__main__":
    main()
