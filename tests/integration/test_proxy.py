"""Downloads through a proxy: a real one, and others that misbehave."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted
from twisted.logger import LogEvent, formatEvent

from tests.support.certs import Certs, make_certs
from tests.support.downloads import make_job
from tests.support.fetcher import CONTENT, SETTINGS, clean_log, fetching
from tests.support.files import File, FileServer
from tests.support.mosquitto import free_port
from tests.support.rawbroker import Peer, RawBroker
from tests.support.reactor import until
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from upparat.config.settings import DownloadSettings
from upparat.job import State
from upparat.net.http_connect import HEAD_LIMIT
from upparat.net.proxy import Proxies, parse


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture(autouse=True)
def log() -> Iterator[list[LogEvent]]:
    with clean_log() as events:
        yield events


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return make_certs(tmp_path_factory.mktemp("certs"))


@pytest.fixture(params=[False, True], ids=["http", "https"])
def file(request: pytest.FixtureRequest, certs: Certs) -> Iterator[File]:
    with FileServer((certs.server_cert, certs.server_key) if request.param else None) as server:
        yield server.add("/a/firmware.bin", CONTENT)


@pytest.fixture
def secure(certs: Certs) -> Iterator[File]:
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        yield server.add("/a/firmware.bin", CONTENT)


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tinyproxy]:
    with Tinyproxy(tmp_path / "proxy") as proxy:
        yield proxy


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[Tinyproxy]:
    """One that wants credentials."""
    with Tinyproxy(tmp_path / "guarded", "me:secret") as proxy:
        yield proxy


def through(url: str, certs: Certs | None = None, *exempt: str) -> DownloadSettings:
    """Settings that have this proxy in the way."""
    proxies = Proxies(parse(url), parse(url), exempt)
    return replace(SETTINGS, proxy=proxies, cafile=certs.cafile if certs else "")


def asked_for(proxy: Tinyproxy, file: File) -> list[str]:
    """What the proxy was asked for; each in the one way that there is for such a file."""
    scheme, _, rest = file.signed_url.partition("://")
    one = f"CONNECT {rest.partition('/')[0]}" if scheme == "https" else f"GET {file.signed_url}"
    assert set(proxy.asked) <= {one}
    return proxy.asked


# --- a real one ---


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_file_arrives(
    file: File, proxy: Tinyproxy, certs: Certs, directory: Path, log: list[LogEvent]
) -> None:
    file.cut(1000)
    async with fetching(directory, through(proxy.url, certs)) as fetcher:
        await fetcher.fetch_well(make_job(file.signed_url))
    assert len(asked_for(proxy, file)) == 2
    assert [request.range for request in file.requests] == [None, "bytes=1000-"]
    assert {request.query for request in file.requests} == {file.query}


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_credentials(file: File, guarded: Tinyproxy, certs: Certs, directory: Path) -> None:
    """The proxy gets them, the server does not."""
    settings = through(guarded.url, certs)
    assert "secret" not in repr(settings)
    async with fetching(directory, settings) as fetcher:
        await fetcher.fetch_well(make_job(file.signed_url))
    assert len(asked_for(guarded, file)) == 1
    (request,) = file.requests
    assert not {"proxy-authorization", "authorization"} & set(request.headers)


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_missing_credentials(
    file: File, guarded: Tinyproxy, certs: Certs, directory: Path
) -> None:
    async with fetching(directory, through(guarded.bare_url, certs)) as fetcher:
        assert await fetcher.fail(make_job(file.url)) == (
            State.DOWNLOAD_FAILED,
            "the proxy answers 407 Proxy Authentication Required (5 attempts)",
        )
    assert not file.requests


@requires_tinyproxy
@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("credentials", ["me:secret2", "you:secret"])
async def test_wrong_credentials(
    secure: File, guarded: Tinyproxy, certs: Certs, directory: Path, credentials: str
) -> None:
    """Others answer 407 to this as well."""
    url = f"http://{credentials}@127.0.0.1:{guarded.port}"
    async with fetching(directory, through(url, certs)) as fetcher:
        _, message = await fetcher.fail(make_job(secure.url))
    assert message == "the proxy answers 401 Unauthorized (5 attempts)"
    assert not secure.requests


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_the_proxy_looks_the_name_up(
    secure: File, proxy: Tinyproxy, certs: Certs, directory: Path
) -> None:
    async with fetching(directory, through(proxy.url, certs)) as fetcher:
        await fetcher.fetch_well(make_job(secure.url))
    assert asked_for(proxy, secure)[0].startswith("CONNECT localhost:")


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_the_certificate_is_the_servers(
    tmp_path: Path, proxy: Tinyproxy, directory: Path
) -> None:
    """A proxy must not be able to stand in for it."""
    other = make_certs(tmp_path / "other", ["somebody.else"])
    with FileServer((other.server_cert, other.server_key)) as server:
        file = server.add("/f", CONTENT)
        async with fetching(directory, through(proxy.url, other)) as fetcher:
            _, message = await fetcher.fail(make_job(file.url))
    assert message == "TLS: the server's certificate is for another host (5 attempts)"
    assert not file.requests


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_server_behind_it_that_is_gone(
    proxy: Tinyproxy, certs: Certs, directory: Path
) -> None:
    async with fetching(directory, through(proxy.url, certs)) as fetcher:
        _, message = await fetcher.fail(make_job(f"https://127.0.0.1:{free_port()}/f"))
        assert message.startswith("the proxy answers 50")
        _, message = await fetcher.fail(make_job(f"http://127.0.0.1:{free_port()}/f"))
        assert message.startswith("HTTP 50")


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_dies_in_the_middle(
    file: File, proxy: Tinyproxy, certs: Certs, directory: Path, log: list[LogEvent]
) -> None:
    file.stall(100_000)
    settings = replace(through(proxy.url, certs), max_attempts=1000)
    async with fetching(directory, settings) as fetcher:
        fetcher.downloader.start(make_job(file.url))
        (part,) = directory.glob("*.part")
        await until(lambda: part.stat().st_size == 100_000)
        proxy.kill()
        await until(lambda: any("the proxy: " in formatEvent(event) for event in log))
        proxy.start()
        await until(lambda: fetcher.heard.outcome)
        assert fetcher.heard.outcome == ("downloaded", str(directory / "job"))
    assert (directory / "job").read_bytes() == CONTENT
    assert [request.range for request in file.requests] == [None, "bytes=100000-"]


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_large_file(certs: Certs, proxy: Tinyproxy, directory: Path, file: File) -> None:
    """Many records and reads on the way through."""
    file.content = os.urandom(20_000_000)
    async with fetching(directory, through(proxy.url, certs)) as fetcher:
        await fetcher.fetch_well(make_job(file.url, sha256=file.sha256), file.content)


@pytest_twisted.ensureDeferred
async def test_hosts_without_a_proxy(file: File, certs: Certs, directory: Path) -> None:
    gone = f"http://127.0.0.1:{free_port()}"
    async with fetching(directory, through(gone, certs, "127.0.0.0/8")) as fetcher:
        await fetcher.fetch_well(make_job(file.url))


# --- and others ---


def saying(answer: bytes) -> Callable[[Peer], None]:
    """A proxy that says this to whatever it is asked, and closes when the client does."""

    def script(peer: Peer) -> None:
        with contextlib.suppress(OSError):  # a client that gives up resets the connection
            peer.connection.recv(65536)
            peer.connection.sendall(answer)
            while peer.connection.recv(65536):
                pass
        peer.ended = True

    return script


ANSWERS = {
    b"HTTP/1.1 403 Filtered\r\n\r\n": "the proxy answers 403 Forbidden",
    b"HTTP/1.0 599 \x1b[31m\r\n\r\n": "the proxy answers 599",
    b"SSH-2.0-OpenSSH\r\n": "the proxy's answer is not HTTP",
    b"HTTP/1.1 2000 OK\r\n\r\n": "the proxy's answer is not HTTP",
    b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * HEAD_LIMIT: (
        f"the proxy's answer has no end within {HEAD_LIMIT} bytes"
    ),
    b"HTTP/1.1 200 OK\r\n\r\n\x16\x03": "the proxy sends more than its answer",
}


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(("answer", "reason"), ANSWERS.items(), ids=ANSWERS.values())
async def test_answers_that_open_no_way(
    secure: File, certs: Certs, directory: Path, answer: bytes, reason: str
) -> None:
    with RawBroker(saying(answer)) as broker:
        url = f"http://me:secret@127.0.0.1:{broker.port}"
        async with fetching(directory, through(url, certs)) as fetcher:
            _, message = await fetcher.fail(make_job(secure.url))
    assert message == f"{reason} (5 attempts)"
    assert not secure.requests


@pytest_twisted.ensureDeferred
async def test_a_proxy_that_hangs_up(secure: File, certs: Certs, directory: Path) -> None:
    with RawBroker(lambda peer: None) as broker:
        url = f"http://127.0.0.1:{broker.port}"
        async with fetching(directory, through(url, certs)) as fetcher:
            _, message = await fetcher.fail(make_job(secure.url))
    assert message == "the proxy closes the connection (5 attempts)"


@pytest_twisted.ensureDeferred
async def test_nobody_listens(file: File, certs: Certs, directory: Path) -> None:
    async with fetching(directory, through(f"http://127.0.0.1:{free_port()}", certs)) as fetcher:
        _, message = await fetcher.fail(make_job(file.url))
    assert message.startswith("the proxy: Connection was refused")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 200 OK\r\n"])
async def test_a_proxy_that_hangs(
    secure: File, certs: Certs, directory: Path, answer: bytes
) -> None:
    with RawBroker(saying(answer)) as broker:
        url = f"http://127.0.0.1:{broker.port}"
        settings = replace(through(url, certs), connect_timeout=0.3, max_attempts=2)
        async with fetching(directory, settings) as fetcher:
            _, message = await fetcher.fail(make_job(secure.url))
        assert message == "no connection for 0.3 s (2 attempts)"
        await until(lambda: all(peer.ended for peer in broker.peers))


@pytest_twisted.ensureDeferred
async def test_stop_while_a_proxy_hangs(secure: File, certs: Certs, directory: Path) -> None:
    with RawBroker(saying(b"")) as broker:
        url = f"http://127.0.0.1:{broker.port}"
        async with fetching(directory, through(url, certs)) as fetcher:
            fetcher.downloader.start(make_job(secure.url))
            await until(lambda: broker.peers)
        await until(lambda: broker.peers[0].ended)
        assert fetcher.heard.events == []


@pytest_twisted.ensureDeferred
async def test_an_answer_that_comes_byte_by_byte(
    secure: File, certs: Certs, directory: Path
) -> None:
    """After others that only say that there is one to come."""
    answer = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.0 200 Fine\r\nContent-Length: 5\r\n\r\n"

    def script(peer: Peer) -> None:
        peer.connection.recv(65536)
        for byte in answer:
            peer.connection.sendall(bytes([byte]))
        raise EOFError

    with RawBroker(script) as broker:
        url = f"http://127.0.0.1:{broker.port}"
        async with fetching(directory, through(url, certs)) as fetcher:
            _, message = await fetcher.fail(make_job(secure.url))
    assert "proxy" not in message  # from there on it is the server that is not there
