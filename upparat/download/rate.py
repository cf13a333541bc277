"""The rate at which a connection is read."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import IReactorTime

READ = 1 << 18
"""Bytes of one read of a socket; Twisted's 64 KiB need four times the calls."""

SHARE = 8
"""Reads a second, at the least, of a limited rate."""


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
