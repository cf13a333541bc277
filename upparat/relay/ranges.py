"""The part of a file that a request asks for: RFC 9110, section 14."""

from __future__ import annotations

import re
from dataclasses import dataclass

_SPAN = re.compile(r"bytes=\s*(\d{0,18})-(\d{0,18})\s*", re.IGNORECASE)


class Unsatisfiable(Exception):
    """The file has no such bytes."""


@dataclass(frozen=True)
class ByteRange:
    """The bytes from ``begin`` up to ``end``, which is not one of them."""

    begin: int
    end: int

    @property
    def size(self) -> int:
        return self.end - self.begin

    def content_range(self, total: int) -> str:
        """The header of the response."""
        return f"bytes {self.begin}-{self.end - 1}/{total}"


def requested(header: str | None, total: int) -> ByteRange | None:
    """Return the range that is asked for; ``None`` for the whole file.

    A header that cannot be read, and one with several ranges, stands for the whole file.

    :param total: the length of the file in bytes.
    :raises Unsatisfiable: if the file has no such bytes.
    """
    match = _SPAN.fullmatch(header or "")
    if match is None or not (match[1] or match[2]):
        return None
    if not match[1]:
        return _checked(max(0, total - int(match[2])), total, total)
    begin, last = int(match[1]), int(match[2]) if match[2] else total
    if last < begin and match[2]:
        return None
    return _checked(begin, min(last + 1, total), total)


def _checked(begin: int, end: int, total: int) -> ByteRange:
    if begin >= total or end <= begin:
        raise Unsatisfiable
    return ByteRange(begin, end)
