"""What systemd hears of the real agent: played by a datagram socket."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import Updates
from tests.support.scripts import wait_for_file
from tests.support.waiting import PATIENCE


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[socket.socket]:
    path = tmp_path / "notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(path))
        listener.settimeout(PATIENCE)
        monkeypatch.setenv("NOTIFY_SOCKET", str(path))
        monkeypatch.setenv("WATCHDOG_USEC", "200000")
        yield listener


def heard_until(systemd: socket.socket, text: str) -> list[str]:
    heard: list[str] = []
    while not any(text in each for each in heard):
        heard.append(systemd.recv(4096).decode())
    return heard


def test_ready_status_watchdog_and_stop(systemd: socket.socket, updates: Updates) -> None:
    device = updates.start()
    assert "READY=1" in heard_until(systemd, "STATUS=monitor; connected to 127.0.0.1")
    heard_until(systemd, "WATCHDOG=1")
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on)])
    updates.create()
    heard_until(systemd, "STATUS=job-1: install; connected")
    go_on.touch()
    updates.cloud.wait_for_end("job-1")
    heard_until(systemd, "STATUS=monitor; connected")  # its queue is short
    device.stop()
    heard_until(systemd, "STOPPING=1")


def test_a_frozen_agent_pings_no_more(systemd: socket.socket, updates: Updates) -> None:

    device = updates.start()
    heard_until(systemd, "WATCHDOG=1")
    os.kill(device.pid, signal.SIGSTOP)
    systemd.settimeout(1)
    with pytest.raises(TimeoutError):  # first comes what was said before
        heard_until(systemd, "never")
    os.kill(device.pid, signal.SIGCONT)
    systemd.settimeout(PATIENCE)
    heard_until(systemd, "WATCHDOG=1")
