"""HTTP within bounds: one request a connection, no body, little time."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import Any

from twisted.internet.interfaces import IAddress, IReactorTime
from twisted.internet.protocol import ServerFactory, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, Request

from upparat.oneshot import OneShot

MAX_CONNECTIONS = 32
"""Connections at once; others are closed."""

REQUEST_TIMEOUT = 10.0
"""Seconds for a client to send its request and to read the answer."""

MAX_BODY = 65536
"""Bytes of a body that are thrown away; after more the connection is closed."""


class PageRequest(Request):
    """A request. Its body is not kept, because no answer depends on it.

    :param answer: writes the answer.
    """

    log = Logger()
    channel: PageChannel | None  # type: ignore[assignment]

    def __init__(self, channel: PageChannel, answer: Callable[[PageRequest], None]) -> None:
        super().__init__(channel)
        self._answer = answer
        self._thrown_away = 0

    def gotLength(self, length: int | None) -> None:
        """Prepare no file for the body; it stays empty, so no form is parsed either."""
        self.content = BytesIO()

    def handleContentChunk(self, data: bytes) -> None:
        self._thrown_away += len(data)
        if self._thrown_away > MAX_BODY:
            self.drop()

    def process(self) -> None:
        try:
            self._answer(self)
        except Exception:
            self.log.failure("A request to the page cannot be answered")
            self.drop()

    def go_on(self) -> None:
        """Let the answer take as long as it likes."""
        if self.channel is not None:
            self.channel.patience.cancel()

    def drop(self) -> None:
        """Close the connection at once."""
        if self.channel is not None:
            self.channel.drop()


class PageChannel(HTTPChannel):
    """The connection of one client.

    :param clock: for the bounds of time.
    :param answer: writes the answer to a request.
    :param on_lost: called when the connection is gone.
    """

    def __init__(
        self,
        clock: IReactorTime,
        answer: Callable[[PageRequest], None],
        on_lost: Callable[[PageChannel], None],
    ) -> None:
        super().__init__()
        self.requestFactory = lambda channel, _: PageRequest(channel, answer)  # type: ignore[assignment,misc]
        self.patience = OneShot(clock)
        self._on_lost = on_lost

    def connectionMade(self) -> None:
        super().connectionMade()
        self.patience.start(REQUEST_TIMEOUT, self.drop)

    def checkPersistence(self, request: Request, version: bytes) -> bool:
        """Take one request a connection, as the control socket does."""
        request.responseHeaders.setRawHeaders(b"Connection", [b"close"])
        return False

    def drop(self) -> None:
        """Close the connection at once."""
        self.transport.abortConnection()  # type: ignore[union-attr]

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.patience.cancel()
        super().connectionLost(reason)
        self._on_lost(self)


class PageFactory(ServerFactory):
    """Makes the channels.

    :param answer: writes the answer to a request.
    """

    noisy = False

    def __init__(self, clock: IReactorTime, answer: Callable[[PageRequest], None]) -> None:
        self._clock = clock
        self._answer = answer
        self.channels: set[PageChannel] = set()

    def buildProtocol(self, addr: IAddress | None) -> PageChannel | None:
        if len(self.channels) >= MAX_CONNECTIONS:
            return None
        channel = PageChannel(self._clock, self._answer, self.channels.discard)
        channel.factory = self
        self.channels.add(channel)
        return channel

    def drop_all(self) -> None:
        """Close all connections."""
        for channel in list(self.channels):
            channel.drop()

    def log(self, request: Any) -> None:
        """Keep no log of who has asked for what."""
