"""A bench for the unit tests of downloads: a reactor on a clock, and answers from a script."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.support.downloads import KEY, Heard, make_job
from upparat.config.settings import DownloadSettings, VerifySettings
from upparat.download import work
from upparat.download.downloader import Downloader
from upparat.download.exchange import CancelScope
from upparat.download.response import Head
from upparat.download.verifier import Verifier
from upparat.job import Job
from upparat.linux import read_boot_id
from upparat.storage.directory import Note, Store

URL = "https://h/f?secret"
CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FakePool:
    """Threads that are done at once; held back if ``held`` is a list."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], work: Callable[[], Any]
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except Exception as error:
                done(False, error)
            else:
                done(True, result)

        run() if self.held is None else self.held.append(run)


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.pool = FakePool()

    def getThreadPool(self) -> FakePool:
        return self.pool

    def callFromThread(self, work: Callable[..., None], *args: Any) -> None:
        work(*args)


@dataclass
class Answer:
    """``end``: whether the end is marked, an exception, or ``None`` for a body that hangs.

    ``first`` is called before the head.
    """

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunks: Iterable[bytes] = ()
    end: bool | Exception | None = True
    body: bytes = b""
    slow: bool = False
    first: Callable[[], object] = lambda: None
    receive: Callable[[bytes], None] = lambda _: None


class FakeExchange:
    slow = False

    def __init__(self, bench: Bench, waiter: CancelScope) -> None:
        self.bench = bench
        self.waiter = waiter

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        self.bench.asked.append((url, dict(headers)))
        answer = self.answer = self.bench.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        answer.first()
        named = Headers({name: [value] for name, value in answer.headers.items()})
        return Head(answer.status, named, answer.length)

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        answer = self.answer
        assert isinstance(answer, Answer)
        answer.receive = receive
        self.slow = answer.slow
        for chunk in answer.chunks:
            receive(chunk)
        if isinstance(answer.end, Exception):
            raise answer.end
        if answer.end is None:
            await self.waiter.wait(Deferred())
        return bool(answer.end)

    async def error_body(self) -> bytes:
        assert isinstance(self.answer, Answer)
        return self.answer.body

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.bench.closed += 1


class Bench(SynchronousTestCase):
    settings = DownloadSettings(max_attempts=4)
    verify = VerifySettings()

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.files = Store(self.directory).files(KEY)
        self.reactor = FakeReactor()
        at_once = lambda reactor, work, name: maybeDeferred(work)  # noqa: E731
        self.patch(work, "defer_to_daemon_thread", at_once)
        self.answers: list[Answer | Exception] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closed = 0
        self.new()

    def new(self) -> None:
        """An agent that has just started."""
        self.heard = Heard()
        self.downloader = Downloader(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            self.directory,
            verifier=Verifier(self.verify),
            random=lambda: 1.0,
            exchange=lambda waiter: FakeExchange(self, waiter),
        )
        self.downloader.events = self.heard

    def start(self, *answers: Answer | Exception, **values: Any) -> Job:
        self.answers = list(answers)
        job = make_job(URL, **values)
        self.downloader.start(job)
        return job

    def waits(self) -> float:
        """Until when the back-off lasts, from now."""
        (call,) = self.reactor.getDelayedCalls()
        return call.getTime() - self.reactor.seconds()

    def leave_part(self, content: bytes = CONTENT[:4], **note: Any) -> None:
        self.directory.mkdir(exist_ok=True)
        self.files.part.write_bytes(content)
        usual = {"path": "/f", "etag": '"e"', "total": 10, "boot_id": read_boot_id()}
        self.files.write_note(Note(**{**usual, **note}))


def whole(**values: Any) -> Answer:
    return Answer(headers={"etag": '"e"'}, length=10, chunks=[CONTENT], **values)


def rest(start: int, end: int = 10) -> Answer:
    headers = {"etag": '"e"', "content-range": f"bytes {start}-9/10"}
    return Answer(206, headers, 10 - start, [CONTENT[start:end]], end == 10 or ConnectionError())


def broken(after: int) -> Answer:
    headers = {"etag": '"e"'}
    return Answer(200, headers, 10, [CONTENT[:after]], ConnectionError())
