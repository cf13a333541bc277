"""Splits a command's output into lines, in bounded memory whatever it prints."""

from __future__ import annotations

import re

HALF = 4096
"""Bytes that are kept of each end of a line. The middle is left out."""

BURST = 64
"""Lines to report of one read. Of more only the last ones, because a flood must cost little."""

_OMISSION = " … ".encode()
_LINE_END = re.compile(rb"[\r\n]")  # progress bars go back to the start of their line with \r


class Lines:
    """Makes text lines of bytes. Leaves out empty lines and replaces undecodable bytes."""

    def __init__(self) -> None:
        self._head = b""
        self._tail = b""
        self._omitted = False

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that ``data`` completes."""
        *ends, rest = _LINE_END.split(data)
        lines = []
        for end in ends:
            self._extend(end)
            lines.append(self._take())
        self._extend(rest)
        return [line for line in lines if line]

    def flush(self) -> list[str]:
        """Return the last line, if it had no line end."""
        line = self._take()
        return [line] if line else []

    def _extend(self, data: bytes) -> None:
        room = HALF - len(self._head)
        self._head += data[:room]
        rest = data[room:]
        if rest:
            self._omitted = self._omitted or len(self._tail) + len(rest) > HALF
            self._tail = (self._tail + rest)[-HALF:]

    def _take(self) -> str:
        line = self._head + (_OMISSION if self._omitted else b"") + self._tail
        self._head, self._tail, self._omitted = b"", b"", False
        return line.decode(errors="replace")
