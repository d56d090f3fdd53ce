"""Numbers to a page: one HTML file that opens offline, made only from the files of a run."""

from __future__ import annotations

from smallvoice.reporting.page import write_report

__all__ = ["write_report"]
