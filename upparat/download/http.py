"""One GET, with limits on silence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IDelayedCall, IProtocol, IPushProducer
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from upparat import __version__
from upparat.config.settings import Download

from .errors import IdleTimeout
from .exchange import CancelScope, Reactor
from .pool import Connections, abort, is_idle, lift_limit, limit_bytes
from .rate import Rate
from .response import Head

ERROR_BODY = 4096
"""How many bytes of an answer without the file are read, to find out why."""

NO_URL = "http://upparat.invalid/"
"""What treq is told instead of the URL: it spells URLs anew, and cannot spell IPv6 addresses."""

HEAD = 1 << 16
"""Bytes, about, that the head of an answer may have: Twisted itself limits only its lines."""

ASKED_WHY = 10.0
"""Seconds that a server has to say why it does not send the file."""

DRAIN = 1.0
"""Seconds that are spent on the body of an answer that tells nothing more."""

_T = TypeVar("_T")


class HttpExchange:
    """A :class:`.exchange.Exchange` by treq. Besides what Twisted raises, all that waits may
    raise :class:`IdleTimeout`."""

    def __init__(
        self, reactor: Reactor, settings: Download, waiter: CancelScope, connections: Connections
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._waiter = waiter
        self._connections = connections
        self._timer: IDelayedCall | None = None
        self._patience = settings.idle_timeout
        self._silence = ""
        self._connection: IProtocol | None = None
        self._reused = False
        self._body: _Body | None = None
        self._paused = False
        self._rate = Rate(reactor, settings.max_rate)
        self._rest: IDelayedCall | None = None
        self._response: IResponse  # there once the head is

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        try:
            return await self._ask(url, headers)
        except CancelledError:
            raise
        except Exception:
            if not self._reused:
                raise
        # A connection that waits may be closed or forgotten at any time: that says nothing yet.
        self._drop()
        return await self._ask(url, headers)

    async def _ask(self, url: str, headers: Mapping[str, str]) -> Head:
        self._silence = ""
        self._reused = False
        agent = self._connections.agent(url.encode("ascii"), self._connected)
        client = HTTPClient(agent)  # has a cookie jar of its own
        self._limit(self._settings.connect_timeout, "no connection")
        named = {"User-Agent": f"upparat/{__version__}", **headers}
        answer = client.get(
            NO_URL,
            headers=Headers({name: [value] for name, value in named.items()}),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, self._reactor),
        )
        response: Any = await self._wait(answer)
        if self._connection is not None:
            lift_limit(self._connection)
        self._response = response
        length = None if response.length is UNKNOWN_LENGTH else int(response.length)
        return Head(response.code, response.headers, length)

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        body = self._body = _Body(lambda data: self._received(receive, data), self.close)
        self._limit(self._patience, "no data")
        self._response.deliverBody(body)
        return await self._wait(body.ended)

    async def drain(self) -> None:
        await self._beginning(DRAIN)

    async def error_body(self) -> bytes:
        return await self._beginning(ASKED_WHY)

    async def _beginning(self, patience: float) -> bytes:
        """:param patience: seconds for all of it."""
        chunks = bytearray()
        self._patience = min(patience, self._patience)
        until = self._reactor.seconds() + patience

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

    def close(self) -> None:
        self._quiet()
        if self._rest is not None:
            self._rest.cancel()
        self._rest = None
        if self._connection is not None and is_idle(self._connection):
            self._connection = None
        self._drop()

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            abort(connection)

    # --- flow ---

    def _hold(self) -> None:
        self._quiet()
        if self._body is not None and not self._body.over:
            self._body.pause()

    def _go_on(self) -> None:
        held = self._paused or self._rest is not None
        if self._body is not None and not self._body.over and not held:
            self._limit(self._patience, "no data")
            self._body.resume()

    def _slow_down(self, size: int) -> None:
        """Rest for as long as these bytes may take."""
        seconds = self._rate.take(size)
        if seconds > 0 and self._rest is None and self._body is not None and not self._body.over:
            self._rest = self._reactor.callLater(seconds, self._rested)
            self._hold()

    def _rested(self) -> None:
        self._rest = None
        self._go_on()

    # --- silence ---

    async def _wait(self, deferred: Deferred[_T]) -> _T:
        try:
            return await self._waiter.wait(deferred)
        except Exception:
            if self._silence and not self._waiter.stopped:
                raise IdleTimeout(self._silence) from None
            raise
        finally:
            self._quiet()

    def _connected(self, connection: IProtocol, reused: bool) -> None:
        self._connection = connection
        self._reused = reused
        if not is_idle(connection):  # the server has said something that nobody asked for
            raise ConnectionLost
        self._rate.configure_transport(getattr(connection, "transport", None))
        limit_bytes(connection, HEAD, lambda: self._stop_waiting("the head has no end"))
        self._limit(self._settings.idle_timeout, "no answer")

    def _received(self, receive: Callable[[bytes], None], data: bytes) -> None:
        if self._timer is not None:
            self._timer.reset(self._patience)
        receive(data)
        self._slow_down(len(data))

    def _limit(self, seconds: float, what: str) -> None:
        self._quiet()
        self._timer = self._reactor.callLater(seconds, self._expire, f"{what} for {seconds:g} s")

    def _expire(self, what: str) -> None:
        self._timer = None
        self._stop_waiting(what)

    def _stop_waiting(self, why: str) -> None:
        self._silence = why
        self._waiter.cancel()

    def _quiet(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None


class _Enough(Exception):
    """No more of this body is wanted."""


class _Body(Protocol):
    """Hands data on; ``ended`` fires with whether the end was marked."""

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
