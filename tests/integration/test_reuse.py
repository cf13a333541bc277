"""Requests that go out on the connection of the last one, and those that cannot."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted

from tests.support.certs import Certs, make_certs
from tests.support.downloads import make_job
from tests.support.fetcher import CONTENT, SETTINGS, Fetcher, clean_log, fetching
from tests.support.files import File, FileServer
from tests.support.ports import key
from tests.support.rawbroker import Peer, RawBroker
from tests.support.reactor import reactor, until
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from upparat.config.settings import Download
from upparat.download import http as download_http
from upparat.download.http import ERROR_BODY
from upparat.net.proxy import Proxies, parse


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    with clean_log():
        yield


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture
def settings(certs: Certs) -> Download:
    """Every attempt must bring a new byte: none may be spent on a dead connection."""
    return replace(SETTINGS, cafile=certs.cafile, max_attempts=2)


@pytest.fixture(params=[False, True], ids=["http", "https"])
def server(request: pytest.FixtureRequest, certs: Certs) -> Iterator[FileServer]:
    tls = (certs.server_cert, certs.server_key) if request.param else None
    with FileServer(tls, keep=True) as server:
        yield server


@pytest.fixture
def file(server: FileServer) -> File:
    return server.add("/a/firmware.bin", CONTENT)


# --- one connection ---


@pytest_twisted.ensureDeferred
async def test_after_an_answer_that_is_read(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    file.status(503, b"<Error><Code>ServiceUnavailable</Code></Error>")
    async with fetching(directory, settings) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert len(file.requests) == 2
    assert server.connections == 1


@pytest_twisted.ensureDeferred
async def test_after_redirects(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    """With a body that tells a person where to go, and without one."""
    door, other = server.add("/door", b""), server.add("/other", b"")
    door.status(302, b"<p>over there", {"Location": other.url})
    other.redirect(file.url)
    async with fetching(directory, settings) as fetcher:
        await fetcher.fetch_well(make_job(door.url))
    assert server.connections == 1


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("status", "body"), [(412, b"<Code>PreconditionFailed</Code>"), (416, b"")]
)
async def test_after_an_answer_that_the_file_has_changed(
    server: FileServer, file: File, settings: Download, directory: Path, status: int, body: bytes
) -> None:
    """The first connection is cut; the second one serves to the end."""
    file.cut(1000)
    file.status(status, body)
    file.change(CONTENT[::-1])
    async with fetching(directory, settings) as fetcher:
        await fetcher.fetch_well(make_job(file.url), CONTENT[::-1])
    assert len(file.requests) == 3
    assert server.connections == 2


@pytest_twisted.ensureDeferred
async def test_a_fresh_url(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    file.expire()
    async with fetching(directory, settings) as fetcher:
        assert (await fetcher.fetch(make_job(file.signed_url)))[0] == "url_expired"
        await fetcher.fetch_well(make_job(f"{file.url}?fresh"))
    assert server.connections == 1


@pytest_twisted.ensureDeferred
async def test_nothing_is_kept_for_nothing(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    """When the file is complete, or there is no hope, no request follows for long."""
    before = set(reactor.getReaders()), set(reactor.getDelayedCalls())
    gone = server.add("/gone", b"")
    gone.status(410, b"<p>gone")
    async with fetching(directory, settings) as fetcher:
        for job in (make_job(file.url), make_job(gone.url, key("gone"))):
            await fetcher.fetch(job)
            await until(lambda: set(reactor.getReaders()) == before[0])
            await until(lambda: set(reactor.getDelayedCalls()) <= before[1])
    assert server.connections == 2


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_through_a_tunnel(
    certs: Certs, settings: Download, directory: Path, tmp_path: Path
) -> None:
    with (
        FileServer((certs.server_cert, certs.server_key), keep=True) as server,
        Tinyproxy(tmp_path / "proxy") as proxy,
    ):
        file = server.add("/f", CONTENT)
        file.status(503)
        behind = parse(proxy.url)
        proxied = replace(settings, proxy=Proxies(https=behind))
        async with fetching(directory, proxied) as fetcher:
            await fetcher.fetch_well(make_job(file.url))
    assert len(proxy.asked) == server.connections == 1


def answers(*parts: bytes) -> Callable[[Peer], None]:
    """One answer for each request on a connection, and then silence."""

    def script(peer: Peer) -> None:
        for part in parts:
            request = b""
            while not request.endswith(b"\r\n\r\n"):
                data = peer.connection.recv(65536)
                if not data:
                    raise EOFError
                request += data
            peer.connection.sendall(part)
        while peer.connection.recv(65536):
            pass

    return script


NOT_YET = b"HTTP/1.1 503 Not yet\r\nContent-Length: 3\r\n\r\nno\n"
FINE = b"HTTP/1.1 200 Fine\r\nContent-Length: %d\r\n\r\n%s" % (len(CONTENT), CONTENT)


@pytest_twisted.ensureDeferred
async def test_a_proxy_serves_all_hosts_on_one(settings: Download, directory: Path) -> None:
    moved = b"HTTP/1.1 302 Found\r\nLocation: http://b.invalid/g\r\nContent-Length: 0\r\n\r\n"
    with RawBroker(answers(NOT_YET, moved, FINE)) as broker:
        behind = parse(f"http://127.0.0.1:{broker.port}")
        proxied = replace(settings, proxy=Proxies(http=behind))
        async with fetching(directory, proxied) as fetcher:
            await fetcher.fetch_well(make_job("http://a.invalid/f"))
        assert len(broker.peers) == 1


# --- a new connection ---


@pytest_twisted.ensureDeferred
async def test_a_server_that_closes(certs: Certs, settings: Download, directory: Path) -> None:
    with FileServer((certs.server_cert, certs.server_key)) as server:
        file = server.add("/f", CONTENT)
        file.status(503)
        async with fetching(directory, settings) as fetcher:
            await fetcher.fetch_well(make_job(file.url))
    assert server.connections == 2


@pytest_twisted.ensureDeferred
async def test_an_answer_that_is_too_long(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    file.status(503, b"x" * 100 * ERROR_BODY)
    async with fetching(directory, settings) as fetcher:
        await fetcher.fetch_well(make_job(file.url))
    assert server.connections == 2


@pytest_twisted.ensureDeferred
async def test_an_answer_that_takes_too_long(
    server: FileServer,
    file: File,
    settings: Download,
    directory: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody waits for more than a moment for what a redirect says to people."""
    monkeypatch.setattr(download_http, "DRAIN", 0.1)
    door = server.add("/door", b"")
    door.status(302, b"<p>over there", {"Location": file.url}, hang=True)
    async with fetching(directory, replace(settings, idle_timeout=600.0)) as fetcher:
        await fetcher.fetch_well(make_job(door.url))
    assert server.connections == 2


# --- a connection that is dead when it is wanted ---


async def expire(fetcher: Fetcher, file: File) -> None:
    """Leave a connection that waits."""
    file.expire()
    assert (await fetcher.fetch(make_job(file.signed_url)))[0] == "url_expired"


@pytest_twisted.ensureDeferred
async def test_closed_while_it_waits(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    async with fetching(directory, replace(settings, max_attempts=1)) as fetcher:
        await expire(fetcher, file)
        waiting = set(reactor.getReaders())
        file.disconnect()
        await until(lambda: set(reactor.getReaders()) < waiting)
        await fetcher.fetch_well(make_job(file.url))
    assert server.connections == 2


@pytest_twisted.ensureDeferred
async def test_closed_in_the_same_moment(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    """The reactor has not seen it yet when the next request goes out."""
    async with fetching(directory, replace(settings, max_attempts=1)) as fetcher:
        await expire(fetcher, file)
        file.disconnect()
        await fetcher.fetch_well(make_job(file.url))
    assert server.connections == 2
    assert len(file.requests) == 2


@pytest_twisted.ensureDeferred
async def test_forgotten_on_the_way(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    """As by a router that has forgotten it: there is only silence."""
    impatient = replace(settings, max_attempts=1, idle_timeout=0.5)
    async with fetching(directory, impatient) as fetcher:
        await expire(fetcher, file)
        file.stall()
        await fetcher.fetch_well(make_job(file.url))
    assert server.connections == 2
    assert len(file.requests) == 3


@pytest_twisted.ensureDeferred
async def test_a_new_connection_has_no_second_chance(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    impatient = replace(settings, max_attempts=1, idle_timeout=0.5)
    file.stall()
    async with fetching(directory, impatient) as fetcher:
        _, message = await fetcher.fail(make_job(file.url))
    assert message == "no answer for 0.5 s (1 attempts)"
    assert len(file.requests) == 1


@pytest_twisted.ensureDeferred
async def test_stop_while_an_old_connection_is_silent(
    server: FileServer, file: File, settings: Download, directory: Path
) -> None:
    async with fetching(directory, settings) as fetcher:
        await expire(fetcher, file)
        file.stall()
        fetcher.heard.events.clear()
        fetcher.downloader.start(make_job(file.url))
        await until(lambda: len(file.requests) == 2)
    assert server.connections == 1


HALF = b"HTTP/1.1 200 Fine\r\nContent-"


@pytest.mark.parametrize("rest", [HALF, b"nonsense\r\n\r\n"])
@pytest_twisted.ensureDeferred
async def test_half_an_answer(settings: Download, directory: Path, rest: bytes) -> None:
    """Twisted would not ask again by itself."""
    scripts = [answers(NOT_YET, rest), answers(FINE)]

    def script(peer: Peer) -> None:
        this = scripts.pop(0)
        if scripts:
            peer.connection.settimeout(0.5)  # then it closes
        this(peer)

    with RawBroker(script) as broker:
        async with fetching(directory, settings) as fetcher:
            await fetcher.fetch_well(make_job(f"http://127.0.0.1:{broker.port}/f"))
        assert len(broker.peers) == 2


@pytest_twisted.ensureDeferred
async def test_something_that_nobody_asked_for(
    certs: Certs, settings: Download, directory: Path
) -> None:
    """Twisted gives the connection up, but TLS waits for the server to agree."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    expired = b"HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n"

    def script(peer: Peer) -> None:
        if len(broker.peers) > 1:
            answers(FINE)(peer)
        peer.connection.recv(65536)
        peer.connection.sendall(expired)
        peer.connection.sendall(b"HTTP/1.1 408 Too late\r\n\r\n")
        socket.socket.recv(peer.connection, 65536)  # not as TLS, which would answer
        socket.socket.recv(peer.connection, 65536)

    with RawBroker(script, context) as broker:
        patient = replace(settings, max_attempts=1, idle_timeout=600.0)
        async with fetching(directory, patient) as fetcher:
            job = make_job(f"https://127.0.0.1:{broker.port}/f")
            assert await fetcher.fetch(job) == ("url_expired", "HTTP 403 Forbidden")
            connections = fetcher.downloader._client._connections
            assert connections is not None
            (waiting,) = connections._used
            await until(lambda: waiting.transport.disconnecting)
            await fetcher.fetch_well(job)
        assert len(broker.peers) == 2
