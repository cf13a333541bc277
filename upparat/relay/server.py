"""The URL of one run of the install hook, and the answers to its requests."""

from __future__ import annotations

from collections.abc import Callable
from hmac import compare_digest
from secrets import token_urlsafe

from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IReactorTCP
from twisted.logger import Logger

from upparat.download.exchange import CancelScope, DownloadReactor
from upparat.download.transfer import DownloadFailed

from .channel import MAX_CONNECTIONS, RelayFactory, RelayRequest
from .fetch import RangeFetch
from .lent import FileFacts, LentFile
from .ranges import ByteRange, Unsatisfiable, requested

LOOPBACK_ADDRESS = "127.0.0.1"

TOKEN = 16
"""Bytes of the random path."""


class RelayServer:
    """Serves a file at :attr:`url`.

    :param on_passed: called with the first and the last position of bytes that were passed on.
    :raises CannotListenError: if there is no port.
    """

    log = Logger()

    def __init__(
        self,
        reactor: DownloadReactor,
        file: LentFile,
        on_passed: Callable[[int, int], None],
    ) -> None:
        self._file = file
        self._on_passed = on_passed
        self._path = b"/" + token_urlsafe(TOKEN).encode("ascii")
        self._factory = RelayFactory(reactor, self.answer)
        self._port = _listen(reactor, self._factory)
        self._host = f"{LOOPBACK_ADDRESS}:{self._port.getHost().port}"  # type: ignore[attr-defined]

    @property
    def url(self) -> str:
        """The URL, which must not get into a log."""
        return f"http://{self._host}{self._path.decode()}"

    def close(self) -> Deferred[None]:
        """Serve nothing any more; fires when the port is closed."""
        closed: Deferred[None] = Deferred()
        closed.addErrback(lambda failure: self.log.failure("The URL cannot be closed", failure))
        maybeDeferred(self._port.stopListening).chainDeferred(closed)  # type: ignore[arg-type]
        self._factory.drop_all()
        return closed

    def answer(self, request: RelayRequest) -> None:
        """Answer a request, or begin to."""
        request.setHeader("Cache-Control", "no-store")
        if not self._is_ours(request):
            _refuse(request, 404, "there is nothing")
        elif request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            _refuse(request, 405, "only GET and HEAD are allowed")
        else:
            scope = CancelScope()
            request.notifyFinish().addErrback(lambda _: scope.stop())
            served = Deferred.fromCoroutine(self._serve(request, scope))
            served.addErrback(self._broke, request)

    def _is_ours(self, request: RelayRequest) -> bool:
        """Whether the request names the secret path, and this server by its address: a browser
        could be led here by another name."""
        host = request.getHeader(b"host") or b""
        path = request.uri
        return host == self._host.encode() and compare_digest(path, self._path)

    async def _serve(self, request: RelayRequest, scope: CancelScope) -> None:
        try:
            facts = await self._file.facts(scope)
        except CancelledError:
            return
        except DownloadFailed as failed:
            _refuse(request, 502, str(failed))
            return
        try:
            span = _span(request, facts)
        except Unsatisfiable:
            request.setHeader("Content-Range", f"bytes */{facts.total}")
            _refuse(request, 416, "the file has no such bytes")
            return
        whole = ByteRange(0, facts.total)
        _write_head(request, facts, span)
        if request.method == b"HEAD" or not facts.total:
            request.finish()
        else:
            await self._send(
                request, RangeFetch(self._file, facts, span or whole, self._to(request), scope)
            )

    def _to(self, request: RelayRequest) -> Callable[[int, bytes], None]:
        def write(begin: int, data: bytes) -> None:
            request.write(data)
            self._on_passed(begin, begin + len(data))

        return write

    async def _send(self, request: RelayRequest, fetch: RangeFetch) -> None:
        request.registerProducer(fetch, True)
        try:
            await fetch.run()
        except CancelledError:
            return
        except DownloadFailed:
            request.drop()
            return
        request.unregisterProducer()
        request.finish()

    def _broke(self, failure: object, request: RelayRequest) -> None:
        self.log.failure("A request of the install hook cannot be answered", failure)  # type: ignore[arg-type]
        request.drop()


def _listen(reactor: IReactorTCP, factory: RelayFactory) -> IListeningPort:
    return reactor.listenTCP(0, factory, MAX_CONNECTIONS, LOOPBACK_ADDRESS)


def _span(request: RelayRequest, facts: FileFacts) -> ByteRange | None:
    """The range to send; ``None`` for the whole file."""
    condition = request.getHeader("If-Range")
    if not facts.ranges or condition not in (None, facts.etag):
        return None
    return requested(request.getHeader("Range"), facts.total)


def _write_head(request: RelayRequest, facts: FileFacts, span: ByteRange | None) -> None:
    request.setHeader("Accept-Ranges", "bytes" if facts.ranges else "none")
    request.setHeader("Content-Type", "application/octet-stream")
    if facts.etag:
        request.setHeader("ETag", facts.etag)
    request.setHeader("Content-Length", str(facts.total if span is None else span.size))
    if span is not None:
        request.setResponseCode(206)
        request.setHeader("Content-Range", span.content_range(facts.total))


def _refuse(request: RelayRequest, code: int, text: str) -> None:
    body = f"{text}\n".encode()
    request.setResponseCode(code)
    request.setHeader("Content-Type", "text/plain; charset=utf-8")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()
