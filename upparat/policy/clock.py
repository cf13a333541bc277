"""Whether the clock of the device can be right."""

from __future__ import annotations

import time
from datetime import UTC, datetime

RELEASED = datetime(2026, 11, 1, tzinfo=UTC)
"""No clock that is right shows an earlier time: this version was not there before."""


def believable(now: float) -> bool:
    """Whether this can be the time of day, in seconds since the epoch."""
    return now >= RELEASED.timestamp()


def since_boot() -> float:
    """Seconds on a clock that nobody sets, and that goes on while the device sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
