"""The speed of a download, as people like to read it: of late, and without jumps."""

from __future__ import annotations

import math

SPAN = 5.0
"""Seconds over which the speed is averaged."""

SHORTEST = 0.5
"""Seconds between two measurements, because the bytes come in batches."""


class Speed:
    """The average speed of the last seconds.

    :ivar rate: in bytes per second; ``None`` until two measurements were made.
    """

    def __init__(self) -> None:
        self.rate: float | None = None
        self._last: tuple[float, int] | None = None

    def note(self, now: float, length: int) -> None:
        """Take note that so many bytes are here; fewer than before begin a new measurement."""
        if self._last is None or length < self._last[1]:
            self.rate, self._last = None, (now, length)
            return
        before, had = self._last
        span = now - before
        if span >= SHORTEST:
            self._last = now, length
            self._take((length - had) / span, span)

    def _take(self, rate: float, span: float) -> None:
        if self.rate is None:
            self.rate = rate
        else:
            self.rate += (rate - self.rate) * (1 - math.exp(-span / SPAN))
