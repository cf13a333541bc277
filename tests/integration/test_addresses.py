"""Downloads by IPv6, and from names with several addresses."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_twisted

from tests.support.addresses import busy, named
from tests.support.certs import make_certs
from tests.support.downloads import make_job
from tests.support.fetcher import CONTENT, SETTINGS, clean_log, fetching
from tests.support.files import FileServer
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from upparat.net.proxy import Proxies, parse

NAME = "files.example"


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "downloads"


@pytest.fixture(autouse=True)
def _log() -> Iterator[None]:
    with clean_log():
        yield


# --- several addresses ---


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
async def test_an_address_where_nobody_listens(directory: Path, address: str) -> None:
    with FileServer(host=NAME, address=address) as server:
        file = server.add("/f", CONTENT)
        with named(NAME, ["::1", "127.0.0.2", "127.0.0.1"]):
            async with fetching(directory, replace(SETTINGS, max_attempts=1)) as fetcher:
                await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_an_address_that_answers_nothing(directory: Path) -> None:
    """The next one is not kept waiting for the time-out."""
    settings = replace(SETTINGS, max_attempts=1, connect_timeout=600.0)
    with FileServer(host=NAME) as server, busy("::1", server.port):
        file = server.add("/f", CONTENT)
        with named(NAME, ["::1", "127.0.0.1"]):
            async with fetching(directory, settings) as fetcher:
                await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_several_addresses_with_tls(tmp_path: Path, directory: Path) -> None:
    """It is the name that the certificate has to be for."""
    certs = make_certs(tmp_path / "certs", [NAME])
    settings = replace(SETTINGS, max_attempts=1, cafile=certs.cafile)
    with FileServer((certs.server_cert, certs.server_key), NAME) as server:
        file = server.add("/f", CONTENT)
        with named(NAME, ["::1", "127.0.0.1"]):
            async with fetching(directory, settings) as fetcher:
                await fetcher.fetch_well(make_job(file.url))


@pytest_twisted.ensureDeferred
async def test_nobody_listens_anywhere(directory: Path) -> None:
    with FileServer(host=NAME) as server:
        url = server.add("/f", CONTENT).url
    with named(NAME, ["::1", "127.0.0.1"]):
        async with fetching(directory, replace(SETTINGS, max_attempts=1)) as fetcher:
            _, message = await fetcher.fail(make_job(url))
    assert message.startswith("Connection was refused")


# --- IPv6 in a URL ---


@pytest_twisted.ensureDeferred
async def test_an_address_without_tls(directory: Path) -> None:
    with FileServer(address="::1") as server:
        file = server.add("/f", CONTENT)
        assert file.url.startswith("http://[::1]:")
        door = server.add("/door", b"")
        door.redirect(file.url)
        async with fetching(directory) as fetcher:
            await fetcher.fetch_well(make_job(door.url))
        (request,) = file.requests
        assert request.headers["host"] == f"[::1]:{server.port}"


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize("through", ["", pytest.param("a proxy", marks=requires_tinyproxy)])
async def test_an_address_with_tls(tmp_path: Path, directory: Path, through: str) -> None:
    certs = make_certs(tmp_path / "certs", ["::1"])
    with (
        FileServer((certs.server_cert, certs.server_key), address="::1") as server,
        Tinyproxy(tmp_path / "proxy") as proxy,
    ):
        file = server.add("/f", CONTENT)
        proxies = Proxies(https=parse(proxy.url) if through else None)
        settings = replace(SETTINGS, cafile=certs.cafile, proxy=proxies)
        async with fetching(directory, settings) as fetcher:
            await fetcher.fetch_well(make_job(file.url))
    assert proxy.asked == ([f"CONNECT [::1]:{server.port}"] if through else [])


@pytest_twisted.ensureDeferred
async def test_an_address_that_the_certificate_is_not_for(tmp_path: Path, directory: Path) -> None:
    certs = make_certs(tmp_path / "certs", ["127.0.0.1", "::2", "localhost"])
    with FileServer((certs.server_cert, certs.server_key), address="::1") as server:
        file = server.add("/f", CONTENT)
        async with fetching(directory, replace(SETTINGS, cafile=certs.cafile)) as fetcher:
            _, message = await fetcher.fail(make_job(file.url))
    assert message == "TLS: the server's certificate is for another host (5 attempts)"
    assert not file.requests
