"""Name lookups by the platform, in threads of their own."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from threading import Event, Thread
from threading import enumerate as enumerate_threads
from typing import Any, NoReturn

import pytest
import pytest_twisted
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostResolution, IResolutionReceiver
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.support.python import run_python
from tests.support.reactor import reactor, until
from tests.support.waiting import PATIENCE
from upparat.net.resolver import DaemonResolver

ADDRESSES: list[Any] = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
    (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/tmp/socket"),
]
IPV6 = IPv6Address("TCP", "2001:db8::1", 443)
IPV4 = IPv4Address("TCP", "192.0.2.1", 443)


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.resolution: IHostResolution | None = None
        self.addresses: list[IAddress] = []
        self.complete = 0

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert not self.complete
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.complete += 1


async def look_up(name: str, types: Sequence[type[IAddress]] | None = None) -> list[IAddress]:
    receiver = Receiver()
    resolution = DaemonResolver(reactor).resolveHostName(receiver, name, 443, types)
    verifyObject(IHostResolution, resolution)
    assert receiver.resolution is resolution
    assert resolution.name == name
    await until(lambda: receiver.complete)
    return receiver.addresses


@pytest_twisted.ensureDeferred
async def test_a_real_name() -> None:
    assert IPv4Address("TCP", "127.0.0.1", 443) in await look_up("localhost")


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    ("types", "expected"),
    [(None, [IPV6, IPV4]), ([IPv4Address], [IPV4]), ([IPv6Address], [IPV6])],
    ids=["any", "IPv4", "IPv6"],
)
async def test_the_addresses_that_were_asked_for(
    types: Sequence[type[IAddress]] | None,
    expected: Sequence[IAddress],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: ADDRESSES)
    assert await look_up("files.example", types) == expected


@pytest_twisted.ensureDeferred
@pytest.mark.parametrize(
    "problem", [socket.gaierror("Name or service not known"), OSError("Too many open files")]
)
async def test_a_name_that_is_not_found(problem: OSError, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> NoReturn:
        raise problem

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert await look_up("files.example") == []


@pytest_twisted.ensureDeferred
async def test_a_name_that_is_none() -> None:
    assert await look_up("a" * 64) == []


@pytest_twisted.ensureDeferred
async def test_no_more_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: Thread) -> NoReturn:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(Thread, "start", fail)
    assert await look_up("localhost") == []


@pytest_twisted.ensureDeferred
async def test_what_was_cancelled_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, answer = Event(), Event()

    def wait(*_: object, **__: object) -> Sequence[Any]:
        asked.set()
        answer.wait(PATIENCE)
        return ADDRESSES

    monkeypatch.setattr(socket, "getaddrinfo", wait)
    threads = set(enumerate_threads())
    receiver = Receiver()
    resolution = DaemonResolver(reactor).resolveHostName(receiver, "files.example")
    await until(asked.is_set)
    resolution.cancel()
    answer.set()
    await until(lambda: set(enumerate_threads()) <= threads)
    await until(turn())
    assert (receiver.addresses, receiver.complete) == ([], 0)


def turn() -> Callable[[], bool]:
    """Whether what was called from threads until now has run."""
    over = Event()
    reactor.callFromThread(over.set)
    return over.is_set


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
