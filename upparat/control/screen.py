"""A terminal that shows the status, and draws it anew in place. Plain ANSI, no library."""

from __future__ import annotations

import os
import shutil
import unicodedata
from collections.abc import Mapping, Sequence
from typing import TextIO

from .render import Row

LABEL = 11
"""The width of the labels."""

_BOLD, _RESET = "\x1b[1m", "\x1b[0m"
_TONES = {"good": "\x1b[32m", "bad": "\x1b[31m", "busy": "\x1b[33m"}


class StatusScreen:
    """Draws tables on a stream.

    :ivar live: whether a table can be drawn over the last one.
    :ivar colours: whether colours are wanted.
    """

    def __init__(self, stream: TextIO, environ: Mapping[str, str] | None = None) -> None:
        environ = os.environ if environ is None else environ
        self._stream = stream
        self._drawn = 0
        self.live = stream.isatty() and environ.get("TERM", "") not in ("", "dumb")
        self.colours = self.live and not environ.get("NO_COLOR")

    def print(self, rows: Sequence[Row]) -> None:
        """Print a table once, however wide it is."""
        for row in rows:
            self._stream.write(self._painted(row, None) + "\n")
        self._stream.flush()

    def draw(self, rows: Sequence[Row]) -> None:
        """Draw a table over the last one. What does not fit on the terminal is cut off."""
        columns, lines = shutil.get_terminal_size()
        shown = rows[: max(1, lines - 1)]
        back = f"\x1b[{self._drawn}A" if self._drawn else ""
        text = "".join(f"{self._painted(row, columns - 1)}\x1b[K\n" for row in shown)
        self._stream.write(f"{back}\r{text}\x1b[J")
        self._stream.flush()
        self._drawn = len(shown)

    def _painted(self, row: Row, width: int | None) -> str:
        label, text = f"{row.label:{LABEL}}", row.text
        if width is not None:
            label, text = label[:width], _cut(text, width - LABEL)
        if self.colours:
            label = f"{_BOLD}{label}{_RESET}"
            text = f"{_TONES[row.tone]}{text}{_RESET}" if row.tone else text
        return f"{label}{text}".rstrip()


def _cut(text: str, width: int) -> str:
    """Cut a text off so that it takes so many columns at the most."""
    for number, char in enumerate(text):
        width -= _columns(char)
        if width < 0:
            return text[:number]
    return text


def _columns(char: str) -> int:
    if unicodedata.combining(char):
        return 0
    return 2 if unicodedata.east_asian_width(char) in "WF" else 1
