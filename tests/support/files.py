"""A file server that misbehaves on demand, in threads of its own.

    with FileServer() as server:
        firmware = server.add("/firmware.bin", content)
        firmware.cut(1000)
        ...  # the first GET of firmware.url ends after 1000 bytes of body, the next one is fine

Each file has a script: every request consumes the next step, and when none is left, the file is
served well. It works for a test that runs a reactor and for one that blocks.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import socket
import ssl
import struct
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

from .tcpports import free_port

FOREVER = -1
"""A step with so many ``times`` is never used up."""

PIECE = 16384

EXPIRED = (
    b'<?xml version="1.0" encoding="UTF-8"?>\n<Error><Code>AccessDenied</Code>'
    b"<Message>Request has expired</Message><X-Amz-Expires>60</X-Amz-Expires></Error>"
)
"""As S3 answers when a pre-signed URL is too old."""


@dataclass(frozen=True)
class Request:
    """What was asked; header names are in lower case."""

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes = b""

    @property
    def range(self) -> str | None:
        return self.headers.get("range")

    @property
    def bounds(self) -> tuple[int, int] | None:
        """The first byte of the range that was asked for, and the last one: without an end, it is
        higher than any. ``None`` without a range that can be read."""
        match = re.fullmatch(r"bytes=(\d+)-(\d*)", self.range or "")
        return (int(match[1]), int(match[2] or sys.maxsize)) if match else None

    @property
    def if_match(self) -> str | None:
        return self.headers.get("if-match")


@dataclass
class Step:
    """How one answer differs from a good one."""

    status: int | None = None
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    hang: bool = False
    ignore_range: bool = False
    wrong_start: int | None = None
    cut: int | None = None
    reset: bool = False
    stall: int | None = None
    truncate: int | None = None
    endless: bool = False
    chunked: bool = False
    rate: float | None = None
    content: bytes | None = None
    begin: int = 0
    times: int = 1


class File:
    """One path of the server; the methods append to its script.

    :param validators: whether it has an ETag and honours If-Match.
    :param ranges: whether it honours Range.

    ``sent`` counts the bytes of bodies that the kernel has taken. ``servers`` take turns, each with
    an ETag of its own.
    """

    def __init__(self, url: str, content: bytes, *, validators: bool, ranges: bool) -> None:
        self.url = url
        self.content = content
        self.validators = validators
        self.ranges = ranges
        self.honours_if_match = validators
        self.servers = 1
        self.query = "X-Amz-Signature=secret"
        self.requests: list[Request] = []
        self.sent = 0
        self.stalled = threading.Event()
        self._released = threading.Event()
        self._script: deque[Step] = deque()
        self._connections: set[socket.socket] = set()
        self._lock = threading.Lock()

    @property
    def signed_url(self) -> str:
        return f"{self.url}?{self.query}"

    @property
    def etag(self) -> str:
        whose = len(self.requests) % self.servers or ""
        return f'"{hashlib.sha256(self.content).hexdigest()[:16]}{whose}"'

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    # --- script ---

    def fine(self) -> None:
        """A good answer."""
        self._append(Step())

    def status(
        self,
        code: int,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        times: int = 1,
        *,
        hang: bool = False,
    ) -> None:
        """Another answer; one that hangs promises one byte of body more than it sends."""
        step = Step(status=code, body=body, headers=headers or {}, hang=hang, times=times)
        self._append(step)

    def expire(self, times: int = 1) -> None:
        """403, as S3 answers when a pre-signed URL is too old."""
        self.status(403, EXPIRED, {"Content-Type": "application/xml"}, times)

    def redirect(self, location: str, code: int = 302, times: int = 1) -> None:
        self.status(code, headers={"Location": location}, times=times)

    def cut(self, after_bytes: int, *, reset: bool = False, times: int = 1) -> None:
        """Close, or reset, the connection after so many bytes of body.

        A reset may overtake bytes that were sent before it.
        """
        self._append(Step(cut=after_bytes, reset=reset, times=times))

    def stall(
        self, after_bytes: int = -1, times: int = 1, *, endless: bool = False, begin: int = 0
    ) -> None:
        """Say nothing after so many bytes of body (-1: not even the head), until released.

        An endless body is one whose length is not told: its end is the connection's. Ranges that
        begin before ``begin`` are served well.
        """
        self._append(Step(stall=after_bytes, endless=endless, begin=begin, times=times))

    def ignore_range(self, times: int = 1) -> None:
        """200 with the whole file, whatever was asked."""
        self._append(Step(ignore_range=True, times=times))

    def wrong_range(self, start: int, times: int = 1) -> None:
        """206 that begins somewhere else than asked."""
        self._append(Step(wrong_start=start, times=times))

    def truncate(self, at_bytes: int, times: int = 1) -> None:
        """A body whose end is the connection's, too early."""
        self._append(Step(truncate=at_bytes, times=times))

    def chunked(self, times: int = 1) -> None:
        """A body in chunks: no Content-Length."""
        self._append(Step(chunked=True, times=times))

    def slow(self, rate: float, times: int = 1) -> None:
        """So many bytes a second."""
        self._append(Step(rate=rate, times=times))

    def change(self, content: bytes) -> None:
        """Other content, with another ETag, from the next request on; that one is served well."""
        self._append(Step(content=content))

    def disconnect(self) -> None:
        """Reset the connections that the file is being sent on."""
        with self._lock:
            connections, self._connections = self._connections, set()
        for connection in connections:
            with contextlib.suppress(OSError):  # it has ended already
                end_by_reset(connection)
                connection.shutdown(socket.SHUT_RDWR)

    def sending(self, connection: socket.socket) -> None:
        """It is sent on this connection, for now."""
        with self._lock:
            self._connections.add(connection)

    def release(self) -> None:
        """Let what is stalled go on."""
        self._released.set()

    def _append(self, step: Step) -> None:
        with self._lock:
            self._script.append(step)

    def take(self, request: Request) -> Step:
        """Record a request and use up a step."""
        with self._lock:
            self.requests.append(request)
            if not self._script:
                return Step()
            step = self._script[0]
            if (request.bounds or (0, 0))[0] < step.begin:
                return Step()
            if step.times != FOREVER:
                step.times -= 1
                if step.times == 0:
                    self._script.popleft()
            if step.content is not None:
                self.content = step.content
            return step

    def wait_for_release(self) -> None:
        self.stalled.set()
        self._released.wait()


class FileServer:
    """Listens on a free port between ``start`` and ``stop``, or in a ``with``.

    :param tls: PEM files of a certificate and its key; then URLs are https.
    :param host: how URLs call it.
    :param address: where it listens.
    """

    def __init__(
        self,
        tls: tuple[str, str] | None = None,
        host: str = "",
        *,
        address: str = "127.0.0.1",
    ) -> None:
        self._address = address
        self._context: ssl.SSLContext | None = None
        scheme = "https" if tls else "http"
        if tls:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(*tls)
        self._files: dict[str, File] = {}
        self._server, self._thread = self._bound(free_port())
        self.port: int = self._server.server_address[1]
        name = host or (f"[{address}]" if ":" in address else address)
        self.base = f"{scheme}://{name}:{self.port}"

    def _bound(self, port: int) -> tuple[_Server, threading.Thread]:
        kind = _Server6 if ":" in self._address else _Server
        server = kind((self._address, port), _Handler)
        server.files, server.context = self._files, self._context
        return server, threading.Thread(target=server.serve_forever, args=(0.05,))

    def add(
        self, path: str, content: bytes, *, validators: bool = True, ranges: bool = True
    ) -> File:
        file = File(self.base + path, content, validators=validators, ranges=ranges)
        self._files[path] = file
        return file

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        for file in self._files.values():
            file.release()
        self._close()

    def restart(self, pause: float = 0.0) -> None:
        """Reset every connection, refuse new ones for so many seconds, and serve again."""
        self._close()
        for file in self._files.values():
            file.disconnect()
        time.sleep(pause)
        self._server, self._thread = self._bound(self.port)
        self.start()

    def _close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def __enter__(self) -> FileServer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def end_by_reset(connection: socket.socket) -> None:
    """When the connection is closed, what was not sent is thrown away."""
    linger = struct.pack("ii", 1, 0)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    files: dict[str, File]
    context: ssl.SSLContext | None = None

    def finish_request(self, request: Any, client_address: Any) -> None:
        if self.context is not None:  # here, in the connection's thread, it holds up nobody
            request = self.context.wrap_socket(request, server_side=True)
        try:
            super().finish_request(request, client_address)
        finally:
            if self.context is not None:
                request.close()  # the server knows only the socket below

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are nothing to tell about."""


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:
        """Tests look at the requests instead."""

    def do_HEAD(self) -> None:
        self._answer(403, {}, b"")  # a URL that is signed for GET

    def do_PUT(self) -> None:
        """An upload: 200 where the script has nothing else, and the test looks at the request."""
        body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self._take(body, lambda file, request, step: self._answer(200, {}, b""))

    def do_GET(self) -> None:
        self._take(b"", self._serve_file)

    def _take(self, body: bytes, serve: Callable[[File, Request, Step], None]) -> None:
        parts = urlsplit(self.path)
        file = self.server.files.get(parts.path)
        if file is None:
            self._answer(404, {}, b"<Error><Code>NoSuchKey</Code></Error>")
            return
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(self.command, parts.path, parts.query, headers, body)
        step = file.take(request)
        file.sending(self.connection)
        with contextlib.suppress(OSError):
            self._serve(file, request, step, serve)

    def _serve(
        self,
        file: File,
        request: Request,
        step: Step,
        serve: Callable[[File, Request, Step], None],
    ) -> None:
        if step.stall == -1:
            file.wait_for_release()
        elif step.status is not None:
            self._answer(step.status, step.headers, step.body, missing=int(step.hang))
            if step.hang:
                file.wait_for_release()
        else:
            serve(file, request, step)

    def _serve_file(self, file: File, request: Request, step: Step) -> None:
        if file.honours_if_match and request.if_match not in (None, file.etag):
            self._answer(412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self._serve_range(file, request, step)

    def _serve_range(self, file: File, request: Request, step: Step) -> None:
        total, bounds = len(file.content), request.bounds
        if bounds is None or step.ignore_range or not file.ranges:
            self._body(file, step, 200, 0)
        elif bounds[0] >= total:
            self._answer(416, {"Content-Range": f"bytes */{total}"}, b"")
        else:
            start = bounds[0] if step.wrong_start is None else step.wrong_start
            self._body(file, step, 206, start, min(bounds[1] + 1, total))

    def _body(
        self, file: File, step: Step, status: int, start: int, end: int | None = None
    ) -> None:
        body, total = file.content[start:end], len(file.content)
        headers = {"ETag": file.etag} if file.validators else {}
        if status == 206:
            headers["Content-Range"] = f"bytes {start}-{start + len(body) - 1}/{total}"
        if step.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif step.truncate is None and not step.endless:
            headers["Content-Length"] = str(len(body))
        self._head(status, headers)
        if step.chunked:
            self.wfile.write(b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
        elif step.truncate is not None:
            self._send(file, body[: step.truncate], step)
        elif step.stall is not None:
            self._send(file, body[: step.stall], step)
            file.wait_for_release()
            self._send(file, body[step.stall :], step)
        else:
            self._send(file, body if step.cut is None else body[: step.cut], step)
        if step.truncate is not None or step.cut is not None or step.endless:
            self.close_connection = True
        if step.reset:
            end_by_reset(self.connection)
            self.rfile.close()
            self.connection.close()

    def _send(self, file: File, body: bytes, step: Step) -> None:
        piece = PIECE if step.rate is None else max(1, int(step.rate / 20))
        pause: Callable[[], object] = lambda: None  # noqa: E731
        if step.rate is not None:
            never = threading.Event()
            pause = lambda: never.wait(1 / 20)  # noqa: E731
        for at in range(0, len(body), piece):
            self.wfile.write(body[at : at + piece])
            file.sent += len(body[at : at + piece])
            pause()
        self.wfile.flush()

    def _answer(
        self, status: int, headers: Mapping[str, str], body: bytes, missing: int = 0
    ) -> None:
        self._head(status, {**headers, "Content-Length": str(len(body) + missing)})
        self.wfile.write(body)

    def _head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()
