"""One GET request by treq, with limits on silence and slowness."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from upparat import __version__
from upparat.config.settings import DownloadSettings
from upparat.oneshot import OneShot

from .agent import AgentFactory
from .connection import HttpConnection
from .errors import IdleTimeout
from .exchange import CancelScope, DownloadReactor
from .kept import KeptConnection
from .rate import Pace, Rate
from .response import Head

ERROR_BODY = 4096
"""Bytes of an error response that are read, to find out why the file does not come."""

HEAD = 1 << 16
"""Bytes, about, that the head of a response may have; Twisted itself limits only its lines."""

ASKED_WHY = 10.0
"""Seconds for the body of an error response."""

_T = TypeVar("_T")


class HttpExchange:
    """An :class:`.exchange.Exchange` by treq.

    :param kept: a connection to go on with; afterwards it is there for the next exchange, unless
        this one has ended early.

    Each method that waits raises :class:`IdleTimeout` when nothing, or too little, comes for too
    long, and passes on every error of Twisted's.
    """

    def __init__(
        self,
        reactor: DownloadReactor,
        settings: DownloadSettings,
        scope: CancelScope,
        kept: KeptConnection | None = None,
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._scope = scope
        self._kept = kept
        pool = kept.pool if kept is not None else None
        self._agents = AgentFactory(reactor, settings, self._connected, pool)
        self._idle = OneShot(reactor)
        self._patience = settings.idle_timeout
        self._timed_out = ""
        self._connection: HttpConnection | None = None
        self._body: _Body | None = None
        self._paused = False
        self._rate = kept.rate if kept is not None else Rate(reactor, settings.max_rate)
        self._rest = OneShot(reactor)
        self._pace = Pace(reactor, settings.min_rate, self._give_up, settings.idle_timeout)
        self._whole = False
        self._response: IResponse  # there once the head is

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        client = HTTPClient(self._agents.agent(url.encode("ascii")))  # has an empty cookie jar
        named = {"User-Agent": f"upparat/{__version__}", **headers}
        self._limit(self._settings.connect_timeout, "no connection")
        if self._kept is not None and (connection := self._kept.connection) is not None:
            self._connected(connection)
        answer = client.get(
            EncodedURL(),  # empty, because the agent has its own
            headers=Headers({name: [value] for name, value in named.items()}),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._reactor),
        )
        response: Any = await self._wait(answer)
        if self._connection is not None:
            self._connection.lift_limit()
        self._response = response
        length = None if response.length is UNKNOWN_LENGTH else int(response.length)
        return Head(response.code, response.headers, length)

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        body = self._body = _Body(lambda data: self._received(receive, data), self.close)
        self._limit(self._patience, "no data")
        self._pace.go_on()
        try:
            self._response.deliverBody(body)
            marked = await self._wait(body.ended)
            self._whole = marked
            return marked
        finally:
            self._pace.hold()

    async def error_body(self) -> bytes:
        chunks = bytearray()
        self._patience = min(ASKED_WHY, self._patience)
        until = self._reactor.seconds() + ASKED_WHY

        def receive(data: bytes) -> None:
            chunks.extend(data)
            if len(chunks) >= ERROR_BODY or self._reactor.seconds() >= until:
                raise _Enough

        try:
            await self.body(receive)
        except CancelledError:
            raise
        except Exception:
            return bytes(chunks[:ERROR_BODY])
        return bytes(chunks[:ERROR_BODY])

    def pause(self) -> None:
        self._paused = True
        self._hold()

    def resume(self) -> None:
        self._paused = False
        self._go_on()

    @property
    def slow(self) -> bool:
        return self._pace.slow

    def close(self) -> None:
        self._idle.cancel()
        self._pace.hold()
        self._rest.cancel()
        if self._connection is not None and not (self._kept is not None and self._whole):
            self._connection.abort()

    # --- flow ---

    def _hold(self) -> None:
        self._idle.cancel()
        self._pace.hold()
        if self._body is not None and not self._body.over:
            self._body.pause()

    def _go_on(self) -> None:
        held = self._paused or self._rest.running
        if self._body is not None and not self._body.over and not held:
            self._limit(self._patience, "no data")
            self._pace.go_on()
            self._body.resume()

    def _slow_down(self, size: int) -> None:
        """Rest for as long as these bytes have to take by ``max_rate``."""
        seconds = self._rate.take(size)
        if seconds > 0 and not self._rest.running and self._body and not self._body.over:
            self._rest.start(seconds, self._go_on)
            self._hold()

    # --- silence ---

    async def _wait(self, deferred: Deferred[_T]) -> _T:
        try:
            return await self._scope.wait(deferred)
        except Exception:
            if self._timed_out and not self._scope.stopped:
                raise IdleTimeout(self._timed_out) from None
            raise
        finally:
            self._idle.cancel()

    def _connected(self, connection: HttpConnection) -> None:
        self._connection = connection
        if self._kept is not None:
            self._kept.connection = connection
        self._rate.configure_transport(connection)
        connection.limit_bytes(HEAD, lambda: self._stop_waiting("the head has no end"))
        self._limit(self._settings.idle_timeout, "no answer")

    def _received(self, receive: Callable[[bytes], None], data: bytes) -> None:
        self._idle.postpone(self._patience)
        self._pace.take(len(data))
        receive(data)
        self._slow_down(len(data))

    def _limit(self, seconds: float, what: str) -> None:
        self._idle.start(seconds, self._stop_waiting, f"{what} for {seconds:g} s")

    def _give_up(self) -> None:
        least = self._settings.min_rate
        self._stop_waiting(f"slower than {least} bytes/s for {self._pace.window:g} s")

    def _stop_waiting(self, reason: str) -> None:
        self._timed_out = reason
        self._scope.cancel()


class _Enough(Exception):
    """Enough of this body was read."""


class _Body(Protocol):
    """Passes data on; ``ended`` fires with true if the end of the body was marked."""

    def __init__(self, receive: Callable[[bytes], None], close: Callable[[], None]) -> None:
        self.ended: Deferred[bool] = Deferred(lambda _: self._stop())
        self._receive = receive
        self._close = close
        self.over = False

    def dataReceived(self, data: bytes) -> None:
        if self.over:
            return
        try:
            self._receive(data)
        except BaseException:
            self._stop()
            if not self.ended.called:
                self.ended.errback()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.over:
            return
        self.over = True
        if reason.check(ResponseDone, PotentialDataLoss):
            self.ended.callback(reason.check(PotentialDataLoss) is None)
        else:
            self.ended.errback(reason)

    def pause(self) -> None:
        self._producer().pauseProducing()

    def resume(self) -> None:
        self._producer().resumeProducing()

    def _producer(self) -> IPushProducer:
        return cast(IPushProducer, self.transport)

    def _stop(self) -> None:
        self.over = True
        self._close()
