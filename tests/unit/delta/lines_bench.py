"""A server of one zchunk file, and a place in memory for the file that is put together."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.web.http_headers import Headers

from tests.support.downloads import make_job
from tests.unit.download.bench import FakeReactor
from upparat.delta.lines import LineFactory
from upparat.download.budget import Budget
from upparat.download.exchange import CancelScope
from upparat.download.partial import PartialDownload, Sink
from upparat.download.response import Head
from upparat.download.shortcut import Journey
from upparat.download.work import BackgroundWork
from upparat.storage.directory import Note

URL = "https://h/f.zck?secret"


@dataclass
class Reply:
    """What is other than usual. ``cut``: bytes after which the connection is lost.

    ``ends``: whether the body then ends as if it were whole.
    """

    status: int = 206
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    ends: bool = False
    more: bytes = b""
    error: Exception | None = None


class FakeServer:
    """Sends ranges of its content; ``replies`` come first. Each request waits while ``held``."""

    def __init__(self, content: bytes, etag: str = '"e"') -> None:
        self.content = content
        self.etag = etag
        self.replies: list[Reply] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.held: list[Deferred[None]] | None = None
        self.open = 0
        self.lines = 0

    def __call__(self) -> FakeLine:
        self.lines += 1
        return FakeLine(self)

    @property
    def ranges(self) -> list[str]:
        return [headers["Range"].removeprefix("bytes=") for _, headers in self.asked]

    def release(self, number: int = 0) -> None:
        """Let one of the requests that wait go on."""
        assert self.held is not None
        self.held.pop(number).callback(None)


class FakeLine:
    def __init__(self, server: FakeServer) -> None:
        self.server = server

    def exchange(self, scope: CancelScope) -> FakeExchange:
        return FakeExchange(self.server, scope)

    def close(self) -> None:
        self.server.lines -= 1


class FakeExchange:
    slow = False

    def __init__(self, server: FakeServer, scope: CancelScope) -> None:
        self.server = server
        self.scope = scope
        server.open += 1

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        server = self.server
        server.asked.append((url, dict(headers)))
        self.reply = server.replies.pop(0) if server.replies else Reply()
        if server.held is not None:
            server.held.append(Deferred())
            await self.scope.wait(server.held[-1])
        if self.reply.error is not None:
            raise self.reply.error
        match = re.fullmatch(r"bytes=(\d+)-(\d+)", headers["Range"])
        assert match is not None
        first, total = int(match[1]), len(server.content)
        last = min(int(match[2]), total - 1)
        self.data = server.content[first : last + 1]
        usual = {"content-range": f"bytes {first}-{last}/{total}", "etag": server.etag}
        named = {**usual, **self.reply.headers}
        return Head(self.reply.status, Headers({name: [value] for name, value in named.items()}))

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        reply = self.reply
        data = (self.data + reply.more)[: reply.cut]
        for begin in range(0, len(data), 1000):
            receive(data[begin : begin + 1000])
        if reply.cut is not None and not reply.ends:
            raise ConnectionError
        return True

    async def error_body(self) -> bytes:
        return b""

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.server.open -= 1


def _is_factory(server: FakeServer) -> LineFactory:
    return server


class MemorySink:
    """Bytes in memory. ``problem`` is raised, once, by the next bytes."""

    def __init__(self, content: bytes = b"") -> None:
        self.content = content
        self.problem: Exception | None = None
        self.room: int | None = None
        self.note = Note()

    @property
    def length(self) -> int:
        return len(self.content)

    @length.setter
    def length(self, length: int) -> None:
        self.content = self.content[:length]

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.content).hexdigest()

    def read_note(self) -> Note:
        return self.note

    def write_note(self, note: Note) -> None:
        self.note = note

    def start_over(self) -> None:
        self.content = b""

    def make_room(self, total: int) -> None:
        self.room = total

    def put(self, data: bytes) -> Deferred[None]:
        problem, self.problem = self.problem, None
        if problem is not None:
            raise problem
        self.content += data
        return succeed(None)


def _is_sink(sink: MemorySink) -> Sink:
    return sink


def make_journey(
    sink: MemorySink, document: dict[str, object] | None = None, **job: Any
) -> Journey:
    """A transfer of the file that the sink takes."""
    made = make_job("https://h/f", **job)
    if document is not None:
        object.__setattr__(made.execution, "document", document)
    work = BackgroundWork(FakeReactor())  # type: ignore[arg-type]
    return Journey(made, PartialDownload(made, sink), Budget(made.key), work, sink.put)
