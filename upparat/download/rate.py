"""The rate at which a connection is read, and the rate at which it has to bring bytes."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime

from upparat.oneshot import OneShot

READ = 1 << 18
"""Bytes of one read of a socket; Twisted's 64 KiB need four times the calls."""

SHARE = 8
"""Reads a second, at the least, of a limited rate."""

MIN_RATE_WINDOW = 60.0
"""Seconds over which the average of a least rate is taken, at the least."""


class Rate:
    """Limits the bytes per second on the average; never more than those of a second come at once.

    :param limit: bytes per second; 0 for no limit.
    """

    def __init__(self, clock: IReactorTime, limit: int) -> None:
        self._clock = clock
        self._limit = limit
        self._paid = clock.seconds()

    def take(self, size: int) -> float:
        """The seconds to wait for after so many bytes; unused time is lost."""
        if not self._limit:
            return 0.0
        now = self._clock.seconds()
        self._paid = max(self._paid, now) + size / self._limit
        return self._paid - now

    def configure_transport(self, transport: Any) -> None:
        """Fit the reads of a connection, which may be TLS on a socket, to the rate.

        What the kernel takes ahead is limited as well: the server would send it all at once.
        """
        while (below := getattr(transport, "transport", None)) is not None:
            transport = below
        if hasattr(transport, "bufferSize"):
            transport.bufferSize = self.read
        handle = transport.getHandle() if hasattr(transport, "getHandle") else None
        if self._limit and handle is not None:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.read * SHARE // 4)

    @property
    def read(self) -> int:
        """Bytes of one read at the most."""
        return max(1, min(READ, self._limit // SHARE)) if self._limit else READ


class Pace:
    """Watches that a body brings at least so many bytes a second, on the average of each window.

    Only time between :meth:`go_on` and :meth:`hold` counts: a server cannot help what the agent
    does not read.

    :param least: bytes per second; 0 for no watch.
    :param on_slow: called when a window was slower; then the watch is over.
    :param silence: seconds for which the server may send nothing. No window is shorter.
    """

    def __init__(
        self,
        clock: IReactorTime,
        least: int,
        on_slow: Callable[[], None],
        silence: float = 0.0,
    ) -> None:
        self.window = max(MIN_RATE_WINDOW, silence)
        self._clock = clock
        self._least = least
        self._on_slow = on_slow
        self._timer = OneShot(clock)
        self._since = 0.0
        self._left = self.window
        self._in_window = 0
        self._elapsed = 0.0
        self._total = 0
        self._failed = False

    @property
    def slow(self) -> bool:
        """Whether a window was slower, or all of it on the average. Ask while it is held."""
        return self._failed or self._total < self._least * self._elapsed

    def go_on(self) -> None:
        """Count time from now on."""
        if self._least and not self._failed and not self._timer.running:
            self._since = self._clock.seconds()
            self._timer.start(max(0.0, self._left), self._end_window)

    def hold(self) -> None:
        """Count no time for now."""
        if self._timer.running:
            self._timer.cancel()
            self._count_time()

    def take(self, size: int) -> None:
        """Count bytes."""
        self._in_window += size
        self._total += size

    def _count_time(self) -> None:
        passed = self._clock.seconds() - self._since
        self._left -= passed
        self._elapsed += passed

    def _end_window(self) -> None:
        self._count_time()
        if self._in_window < self._least * self.window:
            self._failed = True
            self._on_slow()
            return
        self._left, self._in_window = self.window, 0
        self.go_on()
