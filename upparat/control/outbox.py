"""The messages for one client, which reads as slowly as it likes, within bounds."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator

from twisted.internet.interfaces import IPushProducer, ITransport
from zope.interface import implementer

MAX_WAITING = 256 * 1024
"""Bytes that may wait for one client, beside what its transport holds."""


@implementer(IPushProducer)
class Outbox:
    """Writes lines while the client reads. Long answers are taken line by line.

    :param transport: has to be a consumer, as every transport of Twisted's reactors is.
    :param overflowed: called when too many bytes wait.
    """

    def __init__(self, transport: ITransport, overflowed: Callable[[], None]) -> None:
        self._transport = transport
        self._overflowed = overflowed
        self._answer: Iterator[bytes] = iter(())
        self._later: deque[bytes] = deque()
        self._bytes = 0
        self._closing = False
        self.paused = False
        transport.registerProducer(self, True)  # type: ignore[attr-defined]

    @property
    def idle(self) -> bool:
        """Whether the client has taken all so far."""
        return not self.paused and not self._later

    def answer(self, lines: Iterator[bytes]) -> None:
        """Write these lines, before all that is sent from now on."""
        self._answer = lines
        self._pump()

    def send(self, line: bytes) -> None:
        """Write a line, now or later."""
        self._later.append(line)
        self._bytes += len(line)
        self._pump()
        if self._bytes > MAX_WAITING:
            self._overflowed()

    def finish(self) -> None:
        """Close the connection when all is written."""
        self._closing = True
        self._pump()

    def _pump(self) -> None:
        while not self.paused:
            line = next(self._answer, None)
            if line is None and self._later:
                line = self._later.popleft()
                self._bytes -= len(line)
            if line is None:
                if self._closing:
                    self.stopProducing()
                return
            self._transport.write(line)

    # --- IPushProducer ---

    def pauseProducing(self) -> None:
        self.paused = True

    def resumeProducing(self) -> None:
        self.paused = False
        self._pump()

    def stopProducing(self) -> None:
        """Forget what waits, and close once the transport has written what it holds."""
        self._answer, self._closing = iter(()), False
        self._later.clear()
        self._transport.unregisterProducer()  # type: ignore[attr-defined]
        self._transport.loseConnection()
