"""Uploads to a real server, over real sockets."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred

from tests.support.certs import Certs, make_certs
from tests.support.fetcher import SETTINGS, clean_log
from tests.support.files import File, FileServer
from tests.support.rawbroker import Peer, RawBroker
from tests.support.reactor import reactor, until
from tests.support.tcpports import free_port
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from tests.support.waiting import PATIENCE
from upparat import __version__
from upparat.config.settings import DownloadSettings
from upparat.joblog import client as module
from upparat.joblog.client import UploadClient
from upparat.joblog.outcome import UploadFailed
from upparat.net.proxy import Proxies, parse

CONTENT = "eine Zeile mit ä\n".encode() * 10_000


@pytest.fixture(autouse=True)
def log() -> Iterator[None]:
    with clean_log():
        yield


def on_reactor() -> set[object]:
    return {*reactor.getDelayedCalls(), *reactor.getReaders(), *reactor.getWriters()}


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        yield server


@pytest.fixture
def file(server: FileServer) -> File:
    return server.add("/logs/thing/job/1.txt", b"")


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return make_certs(tmp_path_factory.mktemp("certs"))


def put(url: str, settings: DownloadSettings = SETTINGS) -> Deferred[int]:
    return UploadClient(reactor, settings).put(url, CONTENT).addTimeout(PATIENCE, reactor)


async def failing(url: str, settings: DownloadSettings = SETTINGS) -> str:
    """The reason that an upload got no response for."""
    with pytest.raises(UploadFailed) as failed:
        await put(url, settings)
    return str(failed.value)


# --- the good case ---


@pytest_twisted.ensureDeferred
async def test_a_log_arrives_byte_for_byte(file: File) -> None:
    assert await put(file.signed_url) == 200
    (request,) = file.requests
    assert (request.method, request.query, request.body) == ("PUT", file.query, CONTENT)
    assert request.headers["content-type"] == "text/plain; charset=utf-8"
    assert request.headers["content-length"] == str(len(CONTENT))
    assert request.headers["user-agent"] == f"upparat/{__version__}"
    assert not {"transfer-encoding", "expect", "cookie"} & set(request.headers)
    # S3 refuses headers of its own that were not signed.
    assert not [name for name in request.headers if name.startswith("x-amz-")]


@pytest_twisted.ensureDeferred
async def test_the_signed_url_goes_out_as_it_is(server: FileServer) -> None:
    path, query = "/a%2Fb/~x*(1)'%7E;v=1,@|[]/%c3%a4", "X-Amz-Credential=A%2F2026&s=a+b%20c/d~e"
    file = server.add(path, b"")
    assert await put(f"{file.url}?{query}") == 200
    assert [(request.path, request.query) for request in file.requests] == [(path, query)]


@pytest_twisted.ensureDeferred
async def test_the_client_is_imported_in_a_thread(
    file: File, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []
    load = module._load

    def loaded() -> None:
        threads.append(threading.current_thread())
        load()

    monkeypatch.setattr(module, "_load", loaded)
    await put(file.url)
    assert threads
    assert threading.main_thread() not in threads


# --- the ways to a server ---


@pytest_twisted.ensureDeferred
async def test_tls(certs: Certs) -> None:
    with FileServer((certs.server_cert, certs.server_key), "localhost") as server:
        file = server.add("/log", b"")
        assert await put(file.url, replace(SETTINGS, cafile=certs.cafile)) == 200
        assert file.requests[0].body == CONTENT
        assert (await failing(file.url)).startswith("TLS: ")
        assert len(file.requests) == 1


@requires_tinyproxy
@pytest.mark.parametrize("tls", [False, True])
@pytest_twisted.ensureDeferred
async def test_through_a_proxy(certs: Certs, tmp_path: Path, tls: bool) -> None:
    keys = (certs.server_cert, certs.server_key) if tls else None
    with Tinyproxy(tmp_path, "me:secret") as proxy, FileServer(keys) as server:
        file = server.add("/log", b"")
        proxies = Proxies(parse(proxy.url), parse(proxy.url))
        settings = replace(SETTINGS, proxy=proxies, cafile=certs.cafile)
        assert await put(file.signed_url, settings) == 200
        assert file.requests[0].body == CONTENT
        assert len(proxy.asked) == 1


# --- servers that do not want it ---


@pytest_twisted.ensureDeferred
async def test_statuses_are_returned(file: File) -> None:
    for status in (307, 403, 500):
        file.status(status, b"<Error/>", {"Location": "/elsewhere"})
        assert await put(file.signed_url) == status
    assert len(file.requests) == 3


@pytest_twisted.ensureDeferred
async def test_nothing_is_left(file: File) -> None:
    """Of an upload that was taken, and of one that was not."""
    before = on_reactor()
    file.fine()
    file.status(403, b"<Error>", hang=True)
    for _ in range(2):
        await put(file.signed_url)
        await until(lambda: on_reactor() <= before)


@pytest_twisted.ensureDeferred
async def test_nobody_listens() -> None:
    reason = await failing(f"http://127.0.0.1:{free_port()}/log?secret")
    assert reason.startswith("Connection was refused")


@pytest_twisted.ensureDeferred
async def test_a_cancelled_upload_drops_its_connection(file: File) -> None:
    file.stall()
    before = on_reactor()
    upload = put(file.signed_url)
    await until(file.stalled.is_set)
    upload.cancel()
    with pytest.raises(Exception) as failed:  # noqa: PT011 - a client has words of its own
        await upload
    assert "secret" not in str(failed.value)
    await until(lambda: on_reactor() <= before)


@pytest_twisted.ensureDeferred
async def test_a_head_without_an_end() -> None:
    """It may not fill the memory."""

    def flood(peer: Peer) -> None:
        peer.connection.recv(65536)
        peer.send(b"HTTP/1.1 200 OK\r\n")
        for _ in range(1000):
            peer.send(b"X: " + b"y" * 1000 + b"\r\n")

    with RawBroker(flood) as peer:
        assert await failing(f"http://127.0.0.1:{peer.port}/log")
