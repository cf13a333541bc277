"""The page and the metrics of the real agent: each phase of a job, and rude clients."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.agent import Agent
from tests.support.browsing import Page, Watcher
from tests.support.chromium import Chromium, requires_chromium
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import leave, wait_for_file
from tests.support.tcpports import free_port
from tests.support.waiting import PATIENCE, wait_until


@pytest.fixture
def page() -> Page:
    return Page(free_port())


@pytest.fixture
def start(updates: Updates, page: Page) -> Callable[..., Agent]:
    """Start the agent with its page and no socket, and wait until the page is there."""

    def start(**sections: Any) -> Agent:
        control = {"socket": "off", "http": f"127.0.0.1:{page.port}"}
        device = updates.start(control=control, **sections)
        page.wait()
        return device

    return start


def test_a_job(updates: Updates, start: Callable[..., Agent], page: Page, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    updates.hooks.install([leave(3)], [wait_for_file(go_on)])
    device = start()
    wait_until(lambda: page.metrics().get('upparat_state{state="monitor"}'))
    watcher = Watcher(page)
    updates.stand_still(50_000)
    assert "50 % of 100 kB" in watcher.wait_for('max="100000"')
    updates.file.release()
    watcher.wait_for("install, run 2")
    assert "install, run 2" in page.body()
    assert json.loads(page.body("/status"))["hook"]["name"] == "install"
    go_on.touch()
    assert updates.end()[-1] == SUCCEEDED[-1]
    watcher.wait_for("complete_soft_restart")

    found = page.metrics()
    ended = 'upparat_jobs_total{state="complete_soft_restart",status="SUCCEEDED"}'
    assert found[ended] == 1
    assert found["upparat_download_bytes_total"] == 100_000
    assert found['upparat_hook_runs_total{hook="install"}'] == 2
    assert found['upparat_hook_retries_total{hook="install"}'] == 1
    assert found['upparat_hook_runs_total{hook="restart"}'] == 1
    assert found['upparat_state_seconds_total{state="install"}'] > 0.2  # that of a retry
    assert found["upparat_connections_total"] == 1
    assert found["upparat_connected"] == 1
    assert device.stop() == 0
    watcher.end()


def test_no_connection(
    updates: Updates, start: Callable[..., Agent], page: Page, broker: Mosquitto
) -> None:
    start()
    wait_until(lambda: page.metrics()["upparat_connected"] == 1)
    broker.stop()
    wait_until(lambda: page.metrics()["upparat_connected"] == 0)
    assert page.metrics()["upparat_disconnections_total"] == 1
    assert "not connected" in page.body()


def test_a_port_that_is_taken(updates: Updates, page: Page) -> None:
    with socket.create_server(("127.0.0.1", page.port)):
        device = updates.start(control={"http": f"127.0.0.1:{page.port}"})
        assert updates.run()[-1] == SUCCEEDED[-1]
        assert device.log.count(f"The page is off: 127.0.0.1:{page.port}: ") == 1


def test_an_address_that_others_can_reach(updates: Updates, page: Page) -> None:
    """The agent runs without its page."""
    device = updates.start(control={"http": f"0.0.0.0:{page.port}"})
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert "[control] http: others can reach 0.0.0.0: needs http_anywhere = yes" in device.log
    with pytest.raises(ConnectionRefusedError):
        page.get()


# --- rude clients ---------------------------------------------------------------------------------


def connected(page: Page, sent: bytes = b"") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", page.port), PATIENCE)
    with suppress(OSError):  # the agent may have closed it already
        client.sendall(sent)
    return client


def flood(page: Page) -> None:
    """Send a header without an end until the agent has had enough."""
    with connected(page, b"GET / HTTP/1.1\r\nX: ") as client, suppress(OSError):
        while True:
            client.sendall(b"x" * 65536)


def descriptors(device: Agent) -> int:
    """The number of files and sockets that the agent has open."""
    return len(os.listdir(f"/proc/{device.pid}/fd"))


@pytest.mark.long
def test_rude_clients_while_a_job_runs(
    updates: Updates, start: Callable[..., Agent], page: Page, tmp_path: Path
) -> None:
    go_on = tmp_path / "go-on"
    updates.hooks.install([wait_for_file(go_on)])
    device = start()
    updates.create()
    updates.hooks.wait_for_call("install")
    before = descriptors(device)
    events = b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"
    rude = [connected(page, events) for _ in range(4)]  # they never read
    rude += [connected(page, events[:9]) for _ in range(4)]
    for _ in range(1000):
        connected(page).close()
    flood(page)
    crowd = [connected(page) for _ in range(200)]
    wait_until(lambda: descriptors(device) <= before + 32)
    for client in crowd:
        client.close()
    wait_until(lambda: "install, run 1" in _body(page))
    wait_until(lambda: descriptors(device) <= before + len(rude))
    go_on.touch()
    assert updates.end()[-1] == SUCCEEDED[-1]
    for client in rude:
        client.close()


def _body(page: Page) -> str:
    try:
        return page.get()[1]
    except OSError:  # the agent has too many clients for now
        return ""


# --- a browser ------------------------------------------------------------------------------------


@pytest.mark.long
@requires_chromium
def test_chromium_follows_the_page(
    updates: Updates, start: Callable[..., Agent], page: Page, tmp_path: Path
) -> None:
    """The script runs in spite of the policy, and puts the events into the page."""
    device = start()
    with Chromium(tmp_path / "profile") as browser:
        browser.open(page.url)
        wait_until(lambda: "Live" in browser.text())
        updates.stand_still(50_000)
        wait_until(lambda: "50 % of 100 kB" in browser.text())
        updates.file.release()
        assert updates.end()[-1] == SUCCEEDED[-1]
        wait_until(lambda: "complete_soft_restart" in browser.text())
        device.stop()
        wait_until(lambda: "this is old" in browser.text())
