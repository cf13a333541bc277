"""The MQTT service on a clock, with a broker at the other end of a socket pair."""

from __future__ import annotations

import select
import socket
import ssl
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support import rawbroker as wire
from tests.support.certs import Certs, make_certs
from upparat.config.settings import BrokerSettings
from upparat.mqtt.service import MqttService
from upparat.mqtt.session import MqttSessionEvents

BROKER = BrokerSettings(
    host="broker", port=1883, client_id="device", keepalive=60, connect_timeout=30.0
)


def certificates(test: SynchronousTestCase) -> Certs:
    """Certificates for ``broker`` and a client, which are removed after the test."""
    directory = tempfile.TemporaryDirectory()  # pytest leaves those of mktemp() behind
    test.addCleanup(directory.cleanup)
    return make_certs(Path(directory.name), hosts=["broker"])


def with_tls(certs: Certs) -> BrokerSettings:
    """The settings for a broker with these certificates."""
    return replace(
        BROKER, cafile=certs.cafile, certfile=certs.client_cert, keyfile=certs.client_key
    )


class FdClock(Clock):
    """A clock with descriptors: nothing happens by itself, :meth:`turn` is a reactor's turn."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: set[Any] = set()
        self.writers: set[Any] = set()
        self.deferreds: list[Callable[[], object]] = []

    def addReader(self, reader: Any) -> None:
        self.readers.add(reader)

    def addWriter(self, writer: Any) -> None:
        self.writers.add(writer)

    def removeReader(self, reader: Any) -> None:
        self.readers.discard(reader)

    def removeWriter(self, writer: Any) -> None:
        self.writers.discard(writer)

    def callFromThread(self, callable: Callable[..., object], *args: object) -> None:
        callable(*args)

    def turn(self) -> bool:
        """Serve what is ready once; whether anything was."""
        readable, writable, _ = select.select(self.readers, self.writers, [], 0)
        for descriptor in readable:
            try:
                descriptor.doRead()
            except Exception:
                descriptor.connectionLost(Failure())
        for descriptor in writable:
            if descriptor in self.writers:
                descriptor.doWrite()
        return bool(readable or writable)


class FakeDial:
    """Hands a socket over when it is told to."""

    def __init__(self, has_socket: bool) -> None:
        self.done: Deferred[socket.socket] = Deferred()
        self.has_socket = has_socket
        self.abandoned = False

    def start(self) -> Deferred[socket.socket]:
        return self.done

    def abandon(self) -> bool:
        self.abandoned = True
        return self.has_socket


class Recorder:
    """Receives the events of a session; ``told`` is one list in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self.on_connected: Callable[[], object] = lambda: None

    def connected(self) -> None:
        self.told.append(("connected",))
        self.on_connected()

    def disconnected(self, reason: str) -> None:
        self.told.append(("disconnected", reason))

    def received(self, topic: str, payload: bytes) -> None:
        self.told.append(("received", topic, payload))
        if payload == b"bad":
            raise RuntimeError("cannot take this")


def _hears(recorder: Recorder) -> MqttSessionEvents:
    return recorder


class MqttTestCase(SynchronousTestCase):
    broker = BROKER

    def setUp(self) -> None:
        self.clock = FdClock()
        self.recorder = Recorder()
        self.dials: list[FakeDial] = []
        self.has_socket = True
        self.service = MqttService(
            self.clock,  # type: ignore[arg-type]
            self.broker,
            random=lambda: 1.0,
            dial=self.make_dial,  # type: ignore[arg-type]
        )
        self.service.events = self.recorder
        self.data = b""

    def make_dial(self, reactor: object, broker: BrokerSettings) -> FakeDial:
        self.dials.append(FakeDial(self.has_socket))
        return self.dials[-1]

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        self.addCleanup(theirs.close)
        self.addCleanup(ours.close)
        return ours, theirs

    def dial_succeeds(self) -> None:
        ours, self.peer = self.sockets()
        self.dials[-1].done.callback(ours)

    def connect(self) -> None:
        self.service.startService()
        self.accept()

    def accept(self) -> None:
        """Let the attempt that is under way succeed."""
        self.dial_succeeds()
        self.assertEqual(self.packets()[0][0], wire.CONNECT)
        self.send(wire.connack())
        self.assertEqual(self.told(), [("connected",)])

    def pump(self) -> None:
        """Run the reactor, and read what it sends, until nothing happens any more."""
        while True:
            busy = self.clock.turn()
            try:
                data = self.peer.recv(1 << 20)
            except (BlockingIOError, ssl.SSLWantReadError, OSError):
                data = b""
            self.data += data
            if not busy and not data:
                return

    def send(self, *packets: bytes) -> None:
        self.peer.sendall(b"".join(packets))
        self.pump()

    def packets(self) -> list[wire.Packet]:
        """What has arrived since the last time."""
        self.pump()
        packets, self.data = wire.split(self.data)
        return packets

    def told(self) -> list[tuple[Any, ...]]:
        told, self.recorder.told[:] = list(self.recorder.told), []
        return told

    def break_connection(self) -> None:
        self.peer.close()
        while self.clock.turn():
            pass

    def assert_nothing_left(self) -> None:
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.clock.readers | self.clock.writers, set())
