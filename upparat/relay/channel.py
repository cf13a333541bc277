"""HTTP on the loopback interface, within bounds: few connections, no bodies of requests."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

MAX_CONNECTIONS = 8
"""Connections at once; others are closed."""

IDLE = 60
"""Seconds until a connection without a request is closed."""


class RelayRequest(Request):
    """A request of the hook.

    :param answer: writes the answer, or begins to.
    """

    log = Logger()
    channel: RelayChannel | None  # type: ignore[assignment]

    def __init__(self, channel: RelayChannel, answer: Callable[[RelayRequest], None]) -> None:
        super().__init__(channel)
        self._answer = answer

    def gotLength(self, length: int | None) -> None:
        """Prepare no file for the body; it stays empty, so no form is parsed either."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        """No request that is answered has a body."""
        self.drop()

    def process(self) -> None:
        try:
            self._answer(self)
        except Exception:
            self.log.failure("A request of the install hook cannot be answered")
            self.drop()

    def drop(self) -> None:
        """Close the connection at once: the hook sees that bytes are missing."""
        if self.channel is not None:
            self.channel.drop()


class RelayChannel(HTTPChannel):
    """A connection of the hook.

    :param on_lost: called when the connection is gone.
    """

    timeOut = IDLE

    def __init__(
        self,
        clock: IReactorTime,
        answer: Callable[[RelayRequest], None],
        on_lost: Callable[[RelayChannel], None],
    ) -> None:
        super().__init__()
        self.callLater = clock.callLater  # type: ignore[method-assign,assignment]
        self.requestFactory = lambda channel, _: RelayRequest(channel, answer)  # type: ignore[assignment,misc]
        self._on_lost = on_lost

    def drop(self) -> None:
        """Close the connection at once."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        self._on_lost(self)


class RelayFactory(ServerFactory):
    """Makes the channels.

    :param answer: writes the answer to a request, or begins to.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, answer: Callable[[RelayRequest], None]) -> None:
        self._clock = clock
        self._answer = answer
        self.channels: set[RelayChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> RelayChannel | None:
        if len(self.channels) >= MAX_CONNECTIONS:
            return None
        channel = RelayChannel(self._clock, self._answer, self.channels.discard)
        channel.factory = self
        self.channels.add(channel)
        return channel

    def drop_all(self) -> None:
        """Close all connections."""
        for channel in list(self.channels):
            channel.drop()

    def log(self, request: Any) -> None:
        """Keep no log of requests: their path is a secret."""
