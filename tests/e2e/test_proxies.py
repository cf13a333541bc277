"""A device that reaches nothing but a proxy."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import Updates
from tests.simulator.connection import BROKER_OPTIONS
from tests.support.certs import Certs, make_certs
from tests.support.files import FileServer
from tests.support.mosquitto import Mosquitto, tls_listener
from tests.support.tcpports import free_port
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from tests.support.waiting import wait_until

pytestmark = requires_tinyproxy


@pytest.fixture
def certs(tmp_path: Path) -> Certs:
    return make_certs(tmp_path / "certs")


@pytest.fixture
def tls_port() -> int:
    return free_port()


@pytest.fixture
def broker(tmp_path: Path, certs: Certs, tls_port: int) -> Iterator[Mosquitto]:
    """One with TLS for devices; the cloud has a listener of its own."""
    with Mosquitto(tmp_path, options=[*BROKER_OPTIONS, *tls_listener(tls_port, certs)]) as broker:
        yield broker


@pytest.fixture
def files(certs: Certs) -> Iterator[FileServer]:
    with FileServer((certs.server_cert, certs.server_key)) as server:
        yield server


@pytest.fixture
def proxy(tmp_path: Path) -> Iterator[Tinyproxy]:
    with Tinyproxy(tmp_path / "proxy", "me:pass4word") as proxy:
        yield proxy


def test_the_proxy_dies_in_the_middle(
    updates: Updates, certs: Certs, tls_port: int, proxy: Tinyproxy
) -> None:
    """Once in the middle of the download, and once while the install hook runs."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([["wait", str(go_on)]])
    device = updates.start(
        broker={
            "port": tls_port,
            "cafile": certs.cafile,
            "certfile": certs.client_cert,
            "keyfile": certs.client_key,
            "proxy": proxy.url,
        },
        download={"cafile": certs.cafile, "proxy": proxy.url},
    )
    updates.stand_still()
    proxy.kill()
    device.wait_for_log("tries again in")
    device.wait_for_log("connecting again in")
    proxy.start()
    updates.hooks.wait_for_call("install")
    updates.cloud.wait_for_state("job-1", "installation_start")
    proxy.kill()
    told = device.log.count("connecting again in")
    wait_until(lambda: device.log.count("connecting again in") > told)
    go_on.touch()
    device.wait_for_log("install -> restart")
    proxy.start()
    assert updates.end()[-1][:2] == ("SUCCEEDED", "complete_soft_restart")
    assert [request.range for request in updates.file.requests] == [None, "bytes=50000-"]
    host = f"CONNECT 127.0.0.1:{tls_port}"
    assert set(proxy.asked) == {host, f"CONNECT {updates.file.url.split('/')[2]}"}
    assert "pass4word" not in device.log
