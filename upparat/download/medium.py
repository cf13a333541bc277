"""A file that the device itself can read, such as one on a USB stick, as the source of a download.

The bytes are copied like those of a server: hashed as they come, and continued after a power cut.
Whoever removes the medium afterwards harms nothing.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Lock
from typing import TypeVar
from urllib.parse import quote, unquote_to_bytes, urlsplit

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.web.http_headers import Headers

from .errors import MediumError
from .exchange import CancelScope, DownloadReactor, Exchange
from .response import Head

CHUNK = 1 << 18
"""Bytes that are read at once."""

_T = TypeVar("_T")
_SPAN = re.compile(r"(\d{1,18})\+(\d{1,18})")


def medium_url(path: Path, offset: int, size: int) -> str:
    """Return the URL of so many bytes of a file.

    :param path: absolute.
    """
    return f"file://{quote(os.fsencode(path))}#{offset}+{size}"


class MediumExchange:
    """Reads a file in threads, because a medium may hang."""

    slow = False

    def __init__(self, reactor: DownloadReactor, scope: CancelScope) -> None:
        self._reactor = reactor
        self._scope = scope
        self._source = _Source()
        self._name = ""
        self._position = 0
        self._end = 0
        self._paused: Deferred[None] | None = None

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        """Open the file. The response is that of a server with ranges and ETags."""
        path, offset, size = _parsed(url)
        self._name = os.fsdecode(path)
        found = await self._in_thread(lambda: self._source.open(path))
        if not stat.S_ISREG(found.st_mode):
            raise MediumError(f"{self._name} is no file")
        if found.st_size < offset + size:
            raise MediumError(f"{self._name} is cut short")
        etag = f'"{found.st_dev:x}-{found.st_ino:x}-{found.st_mtime_ns:x}"'
        begin = _begin(headers)
        self._position, self._end = offset + begin, offset + size
        return _response(begin, size, etag, headers.get("If-Match"))

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        while self._position < self._end:
            if self._paused is not None:
                await self._scope.wait(self._paused)
            place, count = self._position, min(CHUNK, self._end - self._position)
            data = await self._in_thread(lambda: self._source.read(place, count))  # noqa: B023
            if not data:
                raise MediumError(f"{self._name} is cut short")
            self._position += len(data)
            receive(data)
        return True

    async def error_body(self) -> bytes:
        return b""

    def pause(self) -> None:
        if self._paused is None:
            self._paused = Deferred()

    def resume(self) -> None:
        paused, self._paused = self._paused, None
        if paused is not None and not paused.called:
            paused.callback(None)

    def close(self) -> None:
        self._source.close()

    async def _in_thread(self, work: Callable[[], _T]) -> _T:
        pool = self._reactor.getThreadPool()
        try:
            return await self._scope.wait(deferToThreadPool(self._reactor, pool, work))
        except OSError as error:
            raise MediumError(f"{self._name}: {error.strerror or error}") from None


class _Source:
    """An open file. Closing it waits for no thread that reads."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._descriptor = -1
        self._busy = False
        self._closed = False

    def open(self, path: bytes) -> os.stat_result:
        """Open the file. Nothing else is opened: a pipe would block, and a device may act."""

        def work() -> os.stat_result:
            found = os.stat(path)
            if not stat.S_ISREG(found.st_mode):
                return found
            self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            return os.fstat(self._descriptor)

        return self._guarded(work)

    def read(self, offset: int, count: int) -> bytes:
        return self._guarded(lambda: os.pread(self._descriptor, count, offset))

    def close(self) -> None:
        with self._lock:
            self._closed = True
            if not self._busy:
                self._let_go()

    def _guarded(self, work: Callable[[], _T]) -> _T:
        with self._lock:
            self._busy = True
        try:
            return work()
        finally:
            with self._lock:
                self._busy = False
                if self._closed:
                    self._let_go()

    def _let_go(self) -> None:
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)


def _parsed(url: str) -> tuple[bytes, int, int]:
    parts = urlsplit(url)
    span = _SPAN.fullmatch(parts.fragment)
    if parts.scheme != "file" or span is None:
        raise MediumError("the URL names no part of a file")
    return unquote_to_bytes(parts.path), int(span[1]), int(span[2])


def _begin(headers: Mapping[str, str]) -> int:
    """The first byte that is asked for. The last one does not count: who asks stops there."""
    return int(headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0])


def _response(begin: int, size: int, etag: str, wanted: str | None) -> Head:
    headers = Headers({"etag": [etag]})
    if wanted not in (None, etag):
        return Head(412, headers)
    if begin == 0:
        return Head(200, headers, size)
    if begin >= size:
        headers.addRawHeader("content-range", f"bytes */{size}")
        return Head(416, headers)
    headers.addRawHeader("content-range", f"bytes {begin}-{size - 1}/{size}")
    return Head(206, headers, size - begin)


def _is_exchange(exchange: MediumExchange) -> Exchange:
    return exchange
