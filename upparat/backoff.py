"""Exponential back-off with full jitter, so that a fleet does not reconnect all at once.

See https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Backoff:
    """The waits between attempts; all times are in seconds.

    :ivar base: the ceiling of the first wait, doubled with each attempt.
    :ivar cap: the highest ceiling.
    :ivar stable: how long a success must last before attempts are counted from 1 again.
    """

    base: float = 1.0
    cap: float = 64.0
    stable: float = 30.0

    def ceiling(self, attempt: int) -> float:
        """The longest wait after this attempt; the first attempt is 1."""
        # The exponent is limited, because a float overflows at 2 ** 1024.
        return min(self.cap, self.base * 2.0 ** min(max(attempt, 1) - 1, 64))

    def delay(self, attempt: int, random: Callable[[], float]) -> float:
        """A wait between 0 and the ceiling.

        :param random: returns a number from 0 up to 1.
        """
        return random() * self.ceiling(attempt)
