"""Lines and a progress bar, for a terminal and for a log."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from typing import TextIO

_BAR_WIDTH = 30
QUIET = 10.0
"""Seconds between two lines of progress where there is no terminal."""


def bar(done: int, total: int) -> str:
    """Draw the progress in bytes as a bar. ``total`` is at least 1."""
    filled = _BAR_WIDTH * done // total
    drawn = "#" * filled + "." * (_BAR_WIDTH - filled)
    return f"[{drawn}] {100 * done // total:3d} %  {done / 1e6:.1f} of {total / 1e6:.1f} MB"


class Console:
    """Prints line by line. On a terminal, a line of progress is redrawn in place."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self.live = stream.isatty()
        self._in_place = False

    def line(self, text: str = "") -> None:
        """Print a line, below the progress if there is some."""
        self.end()
        self._stream.write(f"{text}\n")
        self._stream.flush()

    def end(self) -> None:
        """End the line of progress, if there is one: somebody else is about to print."""
        if self._in_place:
            self._stream.write("\n")
            self._stream.flush()
        self._in_place = False

    def progress(self, text: str) -> None:
        """Print progress: over the last one on a terminal, as a line anywhere else."""
        if not self.live:
            self.line(text)
            return
        width = shutil.get_terminal_size().columns - 1
        self._stream.write(f"\r{text[:width]:<{width}}")
        self._stream.flush()
        self._in_place = True


class ByteProgress:
    """Shows bytes as they go: each change on a terminal, now and then anywhere else."""

    def __init__(
        self, console: Console, label: str, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._console = console
        self._label = label
        self._now = now
        self._shown_at = now()
        self._shown = -1

    def __call__(self, done: int, total: int) -> None:
        """Take the bytes that are done; ``total`` is at least 1."""
        percent = 100 * done // total
        due = self._console.live or self._now() - self._shown_at >= QUIET
        if due and percent != self._shown:
            self._shown, self._shown_at = percent, self._now()
            self._console.progress(f"{self._label}  {bar(done, total)}")
