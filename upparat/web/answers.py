"""The answers: which path shows what, and who may ask."""

from __future__ import annotations

from collections.abc import Callable

from upparat.config.address import ListenAddress
from upparat.control.desk import Desk
from upparat.control.protocol import encode
from upparat.metrics.exposition import Metrics, MetricsMissing

from .channel import PageRequest
from .feed import Feed
from .hosts import is_ours
from .page import document, policy

SAFETY = {
    "Cache-Control": "no-store",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}
"""Headers of every answer."""

PLAIN = "text/plain; charset=utf-8"


class Answers:
    """Answers requests. Nobody can change anything by one.

    :param address: the address that the server listens on.
    """

    def __init__(self, address: ListenAddress, desk: Desk, metrics: Metrics) -> None:
        self._address = address
        self._desk = desk
        self._metrics = metrics
        self._feed = Feed(desk)
        self._paths: dict[bytes, Callable[[PageRequest], None]] = {
            b"/": self._page,
            b"/status": self._status,
            b"/events": self._events,
            b"/metrics": self._write_metrics,
        }

    def answer(self, request: PageRequest) -> None:
        """Answer a request, or begin to."""
        for name, value in SAFETY.items():
            request.setHeader(name, value)
        path = self._paths.get(request.path)
        if not self._is_meant(request):
            _refuse(request, 403, "ask by the address of the device: the Host header is another's")
        elif request.method not in (b"GET", b"HEAD"):
            request.setHeader("Allow", "GET, HEAD")
            _refuse(request, 405, "only GET and HEAD are allowed")
        elif path is None:
            _refuse(request, 404, "there is /, /status, /events and /metrics")
        else:
            path(request)

    def _is_meant(self, request: PageRequest) -> bool:
        hosts = request.requestHeaders.getRawHeaders(b"Host", [])
        host = hosts[0].decode("latin-1") if len(hosts) == 1 else None
        return is_ours(host, self._address, request.getHost().host)

    # --- paths ---

    def _page(self, request: PageRequest) -> None:
        request.setHeader("Content-Security-Policy", policy())
        _send(request, "text/html; charset=utf-8", document(dict(self._desk.status())))

    def _status(self, request: PageRequest) -> None:
        _send(request, "application/json", encode(self._desk.status()))

    def _events(self, request: PageRequest) -> None:
        if request.method == b"HEAD":
            _send(request, "text/event-stream", b"")
        elif self._feed.full:
            _refuse(request, 503, "too many pages watch the agent")
        else:
            self._feed.watch(request)

    def _write_metrics(self, request: PageRequest) -> None:
        accept = request.requestHeaders.getRawHeaders(b"Accept", [b""])[0]
        try:
            content_type, text = self._metrics.write(accept.decode("latin-1"))
        except MetricsMissing as problem:
            _refuse(request, 501, str(problem))
        else:
            _send(request, content_type, text)


def _refuse(request: PageRequest, code: int, problem: str) -> None:
    request.setResponseCode(code)
    _send(request, PLAIN, f"{problem}\n".encode())


def _send(request: PageRequest, content_type: str, body: bytes) -> None:
    request.setHeader("Content-Type", content_type)
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()
