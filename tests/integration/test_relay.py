"""The URL of the agent, asked by curl, in front of a server that misbehaves."""

from __future__ import annotations

import contextlib
import shutil
import socket
import subprocess
from collections import deque
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.logger import LogEvent

from tests.support.downloads import Heard, make_job
from tests.support.fetcher import CONTENT, SETTINGS, clean_log
from tests.support.files import File, FileServer
from tests.support.reactor import reactor, until
from tests.support.waiting import PATIENCE
from upparat.config.settings import VerifySettings
from upparat.download.verifier import Verifier
from upparat.relay.channel import MAX_CONNECTIONS
from upparat.relay.downloader import UrlDownloader

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Lender:
    """A downloader with a URL that is lent."""

    def __init__(self, directory: Path, file: File) -> None:
        self.file = file
        self.heard = Heard()
        self.downloader = UrlDownloader(
            reactor, SETTINGS, directory, verifier=Verifier(VerifySettings()), random=lambda: 0.0
        )
        self.downloader.events = self.heard
        self.job = make_job(file=file.signed_url)
        self.url = ""

    async def offer(self) -> None:
        self.downloader.start(self.job)
        await until(lambda: ("stream_ready", "url") in self.heard.events)
        self.url = self.downloader.lend(self.job)

    def renew(self, url: str) -> None:
        self.downloader.start(replace(self.job, file=url))

    @property
    def expiries(self) -> int:
        return sum(event[0] == "url_expired" for event in self.heard.events)

    def begin(self, *options: str, url: str = "") -> Deferred[tuple[int, bytes]]:
        """Ask; fires with the exit status of curl and its output."""
        command = ["curl", "--silent", "--max-time", str(PATIENCE), *options, url or self.url]

        def run() -> tuple[int, bytes]:
            ended = subprocess.run(command, capture_output=True)
            return ended.returncode, ended.stdout

        return deferToThread(run)

    async def curl(self, *options: str, url: str = "") -> tuple[int, bytes]:
        return await self.begin(*options, url=url)

    def connection(self) -> socket.socket:
        """Return a connection without a request."""
        parts = urlsplit(self.url)
        assert parts.hostname is not None
        assert parts.port is not None
        return socket.create_connection((parts.hostname, parts.port), PATIENCE)

    @property
    def request(self) -> bytes:
        parts = urlsplit(self.url)
        return f"GET {parts.path} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode()

    async def status(self, *options: str, url: str = "") -> str:
        _, code = await self.curl("-o", "/dev/null", "-w", "%{http_code}", *options, url=url)
        return code.decode()


def count(reader: socket.socket, wanted: int) -> int:
    """Read so many bytes, or to the end."""
    got = 0
    while got < wanted and (data := reader.recv(1 << 20)):
        got += len(data)
    return got


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def file(server: FileServer) -> File:
    return server.add("/a/firmware.bin", CONTENT)


@pytest.fixture(autouse=True)
def log() -> Iterator[list[LogEvent]]:
    with clean_log() as events:
        yield events


@pytest_twisted.async_yield_fixture
async def lender(tmp_path: Path, file: File) -> AsyncIterator[Lender]:
    lender = Lender(tmp_path / "downloads", file)
    await lender.offer()
    yield lender
    await lender.downloader.shut_down()


@pytest_twisted.ensureDeferred
async def test_the_whole_file(lender: Lender) -> None:
    assert await lender.curl("--fail") == (0, CONTENT)
    lender.downloader.take_back()
    assert lender.heard.events[-1] == ("progressed", len(CONTENT), len(CONTENT))


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ("0-0", CONTENT[:1]),
        ("100-299", CONTENT[100:300]),
        ("1000-", CONTENT[1000:]),
        ("-500", CONTENT[-500:]),
        (f"5-{len(CONTENT) * 2}", CONTENT[5:]),
        ("0-1,4-5", CONTENT),
    ],
)
@pytest_twisted.ensureDeferred
async def test_ranges(lender: Lender, asked: str, expected: bytes) -> None:
    assert await lender.curl("--fail", "--header", f"Range: bytes={asked}") == (0, expected)


@pytest_twisted.ensureDeferred
async def test_no_such_range(lender: Lender) -> None:
    assert await lender.status("--range", f"{len(CONTENT)}-") == "416"


@pytest_twisted.ensureDeferred
async def test_head(lender: Lender) -> None:
    code, head = await lender.curl("--head")
    lines = head.decode().lower().splitlines()
    assert code == 0
    assert f"content-length: {len(CONTENT)}" in lines
    assert "accept-ranges: bytes" in lines
    assert {request.method for request in lender.file.requests} == {"GET"}, "a signed URL"


@pytest_twisted.ensureDeferred
async def test_one_connection_asks_again_and_again(lender: Lender) -> None:
    """As an installer does that mounts the file."""
    spans = [(begin, begin + 999) for begin in range(0, 20_000, 1000)]
    options = [
        word
        for first, last in spans
        for word in ("--next", "--silent", "--range", f"{first}-{last}", lender.url)
    ]
    code, got = await lender.curl("--range", "0-0", lender.url, *options[:-1])
    assert (code, got) == (0, CONTENT[:1] + CONTENT[:20_000])


@pytest_twisted.ensureDeferred
async def test_strangers(lender: Lender) -> None:
    parts = urlsplit(lender.url)
    root = f"http://{parts.netloc}"
    assert await lender.status(url=f"{root}/") == "404"
    assert await lender.status(url=f"{lender.url}x") == "404"
    assert await lender.status(url=f"{lender.url}?x") == "404"
    assert await lender.status("--header", "Host: evil.example") == "404"
    assert await lender.status("--request", "PUT") == "405"
    assert lender.file.requests == []


@pytest_twisted.ensureDeferred
async def test_the_server_cuts_in_mid_body(lender: Lender) -> None:
    lender.file.fine()
    lender.file.cut(100_000)
    lender.file.cut(50_000, reset=True)
    assert await lender.curl("--fail") == (0, CONTENT)


@pytest_twisted.ensureDeferred
async def test_the_url_expires_for_two_connections_at_once(lender: Lender) -> None:
    """Both wait for one fresh URL."""
    lender.file.fine()
    lender.file.cut(100_000, times=2)
    lender.file.expire(times=2)
    asked = gatherResults([lender.begin("--fail"), lender.begin("--fail")])
    await until(lambda: len(lender.file.requests) >= 5)
    await until(lambda: lender.expiries)
    lender.renew(f"{lender.file.url}?X-Amz-Signature=secret-2")
    assert await asked == [(0, CONTENT), (0, CONTENT)]
    assert lender.expiries == 1
    assert lender.file.requests[-1].query == "X-Amz-Signature=secret-2"


@pytest_twisted.ensureDeferred
async def test_the_file_changes_in_the_middle(lender: Lender) -> None:
    """The response ends early: bytes of two files are never one body."""
    lender.file.fine()
    lender.file.cut(100_000)
    lender.file.change(CONTENT[::-1])
    code, got = await lender.curl("--fail")
    assert code in (18, 56)
    assert got == CONTENT[: len(got)]


@pytest_twisted.ensureDeferred
async def test_a_server_without_ranges(lender: Lender) -> None:
    lender.file.ranges = False
    assert await lender.status("--range", "5-9") == "200"
    assert await lender.curl("--fail") == (0, CONTENT)
    _, head = await lender.curl("--head")
    assert "accept-ranges: none" in head.decode().lower()


@pytest_twisted.ensureDeferred
async def test_a_slow_reader_holds_the_server_back(tmp_path: Path, server: FileServer) -> None:
    large = server.add("/large.bin", bytes(64_000_000))
    lender = Lender(tmp_path / "large", large)
    await lender.offer()
    seen = deque([0], maxlen=100)

    def stands_still() -> bool:
        seen.append(large.sent)
        return len(seen) == seen.maxlen and 0 < seen[0] == large.sent

    with lender.connection() as reader:
        reader.sendall(lender.request)
        await until(stands_still)
        assert large.sent < 32_000_000
        got = await deferToThread(lambda: count(reader, 64_000_000))
        assert got >= 64_000_000
    await lender.downloader.shut_down()


@pytest_twisted.ensureDeferred
async def test_so_many_connections_and_no_more(lender: Lender) -> None:
    with contextlib.ExitStack() as held:
        for _ in range(MAX_CONNECTIONS):
            held.enter_context(lender.connection())
        code, got = await lender.curl()
        assert (code in (52, 56), got) == (True, b"")
    assert await lender.curl("--fail", "--retry", "3", "--retry-all-errors") == (0, CONTENT)


@pytest_twisted.ensureDeferred
async def test_nothing_is_left_when_the_url_is_taken_back(lender: Lender) -> None:
    lender.file.fine()
    lender.file.stall(1000)
    asked = lender.begin("--fail")
    await until(lender.file.stalled.is_set)
    lender.downloader.take_back()
    code, _ = await asked
    assert code in (18, 56)
    assert (await lender.curl())[0] == 7
