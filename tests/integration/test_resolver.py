"""Real name lookups, and the end of a process whose lookup gets no answer."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from threading import Event
from threading import enumerate as enumerate_threads
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address

from tests.support.python import run_python
from tests.support.reactor import reactor, until
from tests.support.waiting import PATIENCE
from tests.unit.net.test_resolver import Receiver
from upparat.net.resolver import DaemonResolver


async def look_up(name: str) -> list[object]:
    receiver = Receiver()
    DaemonResolver(reactor).resolveHostName(receiver, name, 443)
    await until(lambda: receiver.complete)
    return list(receiver.addresses)


@pytest_twisted.ensureDeferred
async def test_a_real_name() -> None:
    assert IPv4Address("TCP", "127.0.0.1", 443) in await look_up("localhost")


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_not_valid() -> None:
    assert await look_up("a" * 64) == []


@pytest_twisted.ensureDeferred
async def test_a_cancelled_lookup_reports_nothing_and_its_thread_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked, answer = Event(), Event()

    def wait(*_: object, **__: object) -> Sequence[Any]:
        asked.set()
        answer.wait(PATIENCE)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 443))]

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    threads = set(enumerate_threads())
    receiver = Receiver()
    resolution = DaemonResolver(reactor).resolveHostName(receiver, "files.example")
    await until(asked.is_set)
    resolution.cancel()
    answer.set()
    await until(lambda: set(enumerate_threads()) <= threads)
    turned = Event()
    reactor.callFromThread(turned.set)
    await until(turned.is_set)
    assert (receiver.addresses, receiver.complete) == ([], 0)


# --- the end of the process ---

PROCESS = """
import socket, threading
asked = threading.Event()

def no_answer(*_, **__):
    asked.set()
    threading.Event().wait()

socket.getaddrinfo = no_answer
from twisted.internet import reactor
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.protocol import Factory
from upparat.reactor import prepare_reactor

def stop_then():
    if asked.is_set():
        reactor.stop()
    else:
        reactor.callLater(0.01, stop_then)

prepare_reactor(reactor)
HostnameEndpoint(reactor, "files.example", 443).connect(Factory())
reactor.callLater(0, stop_then)
reactor.run()
"""


def test_the_process_ends_though_no_answer_comes() -> None:
    done = run_python(PROCESS)
    assert (done.returncode, done.stderr) == (0, "")
