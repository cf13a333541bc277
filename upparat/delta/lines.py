"""Ranges of one URL over a few kept connections: some ahead of their use, in order."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.python.failure import Failure
from twisted.web.http_headers import Headers

from upparat.download.attempt import MAX_REDIRECTS
from upparat.download.errors import explain
from upparat.download.exchange import CancelScope, Exchange
from upparat.download.response import (
    REDIRECTS,
    Head,
    Permanent,
    Temporary,
    UrlExpired,
    interpret_error,
)
from upparat.download.url import redirected

from .header import DeltaError
from .plan import Span

LINES = 8
"""Connections that fetch at the same time. Most ranges of a small change have less than 50 KiB: one
connection brings a quarter of what a line of 10 Mbit/s and 100 ms can carry."""

AHEAD = 32
"""Ranges at the most that are under way or wait for their use. A kill of the agent loses them. With
half of them, all lines were at rest now and then while one waited for a packet that was lost."""

ENOUGH = 1 << 20
"""Bytes of such ranges, with which no third one is begun. With half of them, a line of 10 Mbit/s
and 100 ms was at rest now and then, because ranges come to their use in order."""

_RANGE = re.compile(r"bytes +(\d{1,18})-(\d{1,18})/(\d{1,18})")


class NotFetched(Exception):
    """A range did not come; ``outcome`` says what may help."""

    def __init__(self, outcome: Temporary | UrlExpired | Permanent) -> None:
        super().__init__(outcome.reason)
        self.outcome = outcome


@dataclass(frozen=True)
class Source:
    """The zchunk file on its server.

    :ivar url: a secret.
    :ivar etag: a strong one; empty if the server gives none.
    :ivar total: of the file in bytes, once it is known.
    """

    url: str
    etag: str = ""
    total: int | None = None


class Line(Protocol):
    """A connection to one server."""

    def exchange(self, scope: CancelScope) -> Exchange:
        """Make the exchange of the next request."""

    def close(self) -> None:
        """Drop the connection."""


LineFactory = Callable[[], Line]


async def fetch_range(
    line: Line, scope: CancelScope, source: Source, begin: int, end: int
) -> tuple[bytes, Source]:
    """Fetch the bytes from ``begin`` to ``end``, or to the end of the file.

    The source that is returned is the one behind all redirects, with its ETag and total.

    :raises NotFetched: if they do not come.
    """
    try:
        for _ in range(MAX_REDIRECTS + 1):
            found = await _request(line, scope, source, begin, end)
            if not isinstance(found, str):
                return found
            source = _redirected(source, found)
    except (CancelledError, NotFetched):
        raise
    except DeltaError as problem:
        raise NotFetched(Permanent(str(problem))) from None
    except Exception as problem:
        raise NotFetched(Temporary(explain(problem))) from None
    raise NotFetched(Permanent(f"more than {MAX_REDIRECTS} redirects"))


def _redirected(source: Source, location: str) -> Source:
    url, problem = redirected(source.url, location)
    if problem:
        raise NotFetched(Permanent(f"the server {problem}"))
    return replace(source, url=url)


async def _request(
    line: Line, scope: CancelScope, source: Source, begin: int, end: int
) -> tuple[bytes, Source] | str:
    """Make one request. Returns the bytes, or the location of a redirect."""
    exchange = line.exchange(scope)
    try:
        head = await exchange.head(source.url, _headers(source, begin, end))
        location = _header(head.headers, "location")
        if head.status in REDIRECTS and location:
            return location
        if head.status != 206:
            raise NotFetched(_refusal(head, await exchange.error_body()))
        known, size = _expected(head, source, begin, end)
        return await _body(exchange, size), known
    finally:
        exchange.close()


def _headers(source: Source, begin: int, end: int) -> Mapping[str, str]:
    match = {"If-Match": source.etag} if source.etag else {}
    return {"Range": f"bytes={begin}-{end - 1}", **match}


def _refusal(head: Head, body: bytes) -> Temporary | UrlExpired | Permanent:
    if head.status == 200:
        return Permanent("the server sends no ranges")
    if head.status == 412:
        return Permanent("the file on the server has changed")
    return interpret_error(head, body)


def _expected(head: Head, source: Source, begin: int, end: int) -> tuple[Source, int]:
    """What the head says of the file, and how many bytes follow.

    :raises DeltaError: if this is not the range that was asked for, or one of another file.
    """
    match = _RANGE.fullmatch(_header(head.headers, "content-range"))
    if match is None:
        raise DeltaError("the server answers with a range that cannot be read")
    first, last, total = map(int, match.groups())
    if first != begin or last + 1 != min(end, total):
        raise DeltaError("the server answers with another range than asked for")
    etag = _header(head.headers, "etag")
    etag = etag if re.fullmatch(r'"[\x21\x23-\x7e]*"', etag) else ""
    if source.total not in (None, total) or (source.etag and source.etag != etag):
        raise DeltaError("the file on the server has changed")
    return Source(source.url, etag, total), last + 1 - first


async def _body(exchange: Exchange, size: int) -> bytes:
    data = bytearray()

    def receive(piece: bytes) -> None:
        if len(data) + len(piece) > size:
            raise DeltaError("the server sends more than asked for")
        data.extend(piece)

    await exchange.body(receive)
    if len(data) < size:
        raise NotFetched(Temporary("the connection ended"))
    return bytes(data)


def _header(headers: Headers, name: str) -> str:
    values = headers.getRawHeaders(name.encode("ascii")) or [b""]
    return values[0].strip().decode(errors="surrogateescape")


class SpanFetcher:
    """Fetches spans over some lines, in their order, a few ahead of their use.

    :param lines: the last one is used first. They are not closed.
    :param spans: those that are planned; :meth:`take` may ask for others.
    :param stock: spans that are here already. Takes those that are here when all is closed.
    """

    def __init__(
        self,
        lines: Sequence[Line],
        source: Source,
        spans: Iterable[Span],
        stock: dict[Span, bytes],
    ) -> None:
        self._source = source
        self._stock = stock
        self._todo = deque(span for span in spans if span not in stock)
        self._free = list(lines)
        self._scopes: set[CancelScope] = set()
        self._waiting: dict[Span, Deferred[bytes]] = {}
        self._asked: deque[Span] = deque()
        self._under_way: set[Span] = set()
        self._failure: Failure | None = None
        self._go_on()

    def take(self, span: Span) -> Deferred[bytes]:
        """Fire with the bytes of a span; fail with :class:`NotFetched`."""
        if span in self._stock:
            data = self._stock.pop(span)
            self._go_on()
            return succeed(data)
        waiting: Deferred[bytes] = Deferred()
        if self._failure is not None:
            waiting.errback(self._failure)
            return waiting
        self._waiting[span] = waiting
        if span in self._todo:
            self._todo.remove(span)
        if span not in self._under_way:
            self._asked.append(span)
        self._go_on()
        return waiting

    def close(self) -> None:
        """Stop all that is under way. Nothing that waits is called any more."""
        self._failure = self._failure or Failure(CancelledError())
        self._waiting.clear()
        for scope in list(self._scopes):
            scope.stop()

    def _go_on(self) -> None:
        while self._free and self._failure is None and (span := self._next()) is not None:
            self._start(self._free.pop(), span)

    def _next(self) -> Span | None:
        """What is asked for comes first; then what is planned, as far as there is room."""
        if self._asked:
            return self._asked.popleft()
        if self._todo and self._has_room:
            return self._todo.popleft()
        return None

    @property
    def _has_room(self) -> bool:
        ahead = [span.end - span.begin for span in (*self._stock, *self._under_way)]
        return len(ahead) < AHEAD and (len(ahead) < 2 or sum(ahead) < ENOUGH)

    def _start(self, line: Line, span: Span) -> None:
        scope = CancelScope()
        self._scopes.add(scope)
        self._under_way.add(span)
        fetching = fetch_range(line, scope, self._source, span.begin, span.end)
        fetched = Deferred.fromCoroutine(fetching)
        fetched.addBoth(self._ended, line, scope, span)

    def _ended(
        self,
        result: tuple[bytes, Source] | Failure,
        line: Line,
        scope: CancelScope,
        span: Span,
    ) -> None:
        self._scopes.discard(scope)
        self._under_way.discard(span)
        self._free.append(line)
        if isinstance(result, Failure):
            self._failed(result)
            return
        data, self._source = result
        waiting = self._waiting.pop(span, None)
        if waiting is None:
            self._stock[span] = data
        self._go_on()
        if waiting is not None:
            waiting.callback(data)

    def _failed(self, failure: Failure) -> None:
        """Fail all that is waited for: one more request might not end before the next attempt."""
        if self._failure is None:
            self._failure = failure
            waiting, self._waiting = self._waiting, {}
            for each in waiting.values():
                each.errback(failure)
