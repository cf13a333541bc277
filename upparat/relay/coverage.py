"""How much of a file was fetched, whatever the order, and however often."""

from __future__ import annotations

from bisect import bisect_left, bisect_right

MAX_PARTS = 1024
"""Separate parts that are remembered. More are not counted, so the figure is too low then."""


class Coverage:
    """The bytes of a file that were passed on at least once.

    :ivar length: how many there are.
    """

    def __init__(self) -> None:
        self.length = 0
        self._begins: list[int] = []
        self._ends: list[int] = []

    def add(self, begin: int, end: int) -> None:
        """Take note of the bytes from ``begin`` up to ``end``, which is not one of them."""
        first = bisect_left(self._ends, begin)
        behind = bisect_right(self._begins, end)
        if first == behind and len(self._begins) >= MAX_PARTS:
            return
        joined = range(first, behind)
        if joined:
            begin = min(begin, self._begins[first])
            end = max(end, self._ends[behind - 1])
        known = sum(self._ends[each] - self._begins[each] for each in joined)
        self.length += end - begin - known
        self._begins[first:behind] = [begin]
        self._ends[first:behind] = [end]
