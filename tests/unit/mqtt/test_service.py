"""The MQTT service on a clock, with a broker at the other end of a socket pair."""

from __future__ import annotations

import gc
import select
import socket
import ssl
import struct
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import patch

from paho.mqtt import client as paho_client
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support import rawbroker as wire
from tests.support.certs import Certs, make_certs
from upparat.config.settings import Broker
from upparat.mqtt.connection import DISCONNECT_TIMEOUT, MAX_READS
from upparat.mqtt.dial import Abandoned, Dial, client_context
from upparat.mqtt.service import MqttService
from upparat.mqtt.session import MqttSessionEvents, SubscribeError

BROKER = Broker(host="broker", port=1883, client_id="device", keepalive=60, connect_timeout=30.0)


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
    """Hears what the line tells; ``told`` is one list in order."""

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

    def make_dial(self, reactor: object, broker: Broker) -> FakeDial:
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


class ConnectTests(MqttTestCase):
    def test_connect_packet(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        clean = 0x02
        expected = wire.text("MQTT") + bytes([4, clean, 0, 60]) + wire.text("device")
        self.assertEqual(self.packets(), [(wire.CONNECT, expected)])
        self.assertFalse(self.service.connected)

    def test_told_when_accepted(self) -> None:
        self.connect()
        self.assertTrue(self.service.connected)

    def test_a_second_connack_is_nothing_new(self) -> None:
        self.connect()
        self.send(wire.connack())
        self.assertEqual(self.told(), [])

    def test_publishing_at_once(self) -> None:
        """The owner may speak from within ``connected``."""
        self.recorder.on_connected = lambda: self.service.publish("topic", b"hello")
        self.connect()
        self.assertEqual([first for first, _ in self.packets()], [0x32])

    def test_refused(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        with capturedLogs() as logs:
            self.send(wire.connack(5))
        self.assertEqual(self.told(), [])
        self.assertEqual(logs[-1]["reason"], "the broker refuses the connection: Not authorized")
        self.assertEqual(self.clock.readers, set())
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)

    def test_protocol_version_refused(self) -> None:
        """paho would connect by itself once more, with MQTT 3.1."""
        self.service.startService()
        self.dial_succeeds()
        self.packets()
        self.send(wire.connack(1))
        self.assertEqual(self.packets(), [])
        self.assertEqual(self.clock.readers, set())
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)

    def test_closed_without_connack(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        self.pump()
        with capturedLogs() as logs:
            self.break_connection()
        self.assertIn("instead of accepting", logs[-1]["reason"])
        self.assertEqual(self.told(), [])

    def test_dial_fails(self) -> None:
        self.service.startService()
        with capturedLogs() as logs:
            self.dials[0].done.errback(ConnectionRefusedError("nobody listens"))
        self.assertEqual(logs[-1]["log_level"], LogLevel.warn)
        self.assertEqual(logs[-1]["reason"], "nobody listens")
        self.clock.advance(0.9)
        self.assertEqual(len(self.dials), 1)
        self.clock.advance(0.1)
        self.assertEqual(len(self.dials), 2)

    def test_dial_takes_too_long(self) -> None:
        """Nothing is tried again while the thread of the attempt lives."""
        self.service.startService()
        self.clock.advance(30.0)
        self.assertTrue(self.dials[0].abandoned)
        self.clock.advance(1000.0)
        self.assertEqual(len(self.dials), 1)
        with capturedLogs() as logs:
            self.dials[0].done.errback(Abandoned())
        self.assertEqual(logs[-1]["reason"], "no connection within 30 s")
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)

    def test_broker_says_nothing(self) -> None:
        self.service.startService()
        self.clock.advance(10.0)
        self.dial_succeeds()
        self.pump()
        with capturedLogs() as logs:
            self.clock.advance(20.0)
        self.assertEqual(logs[-1]["reason"], "no connection within 30 s")
        self.assertEqual(self.clock.readers, set())
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)

    def test_nothing_is_sent_on_a_connection_that_does_not_stand(self) -> None:
        self.assertFalse(self.service.publish("topic", b""))
        self.service.startService()
        self.dial_succeeds()
        self.assertFalse(self.service.publish("topic", b""))
        self.failureResultOf(self.service.subscribe(["topic"]), SubscribeError)
        self.assertEqual([first for first, _ in self.packets()], [wire.CONNECT])

    def test_what_cannot_be_set_up_is_tried_again(self) -> None:
        self.service.startService()
        with patch.object(paho_client.Client, "connect", side_effect=ValueError("no")):
            self.dial_succeeds()
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.clock.readers, set())
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)


class CredentialsTests(MqttTestCase):
    broker = replace(BROKER, username="me", password="secret")

    def test_connect_packet(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        ((_, rest),) = self.packets()
        self.assertEqual(rest[7], 0xC2)
        self.assertTrue(rest.endswith(wire.text("me") + wire.text("secret")))


class BackoffTests(MqttTestCase):
    def delays(self, count: int) -> list[float]:
        """Let attempts fail; how long each was waited after."""
        delays = []
        for _ in range(count):
            self.dials[-1].done.errback(OSError())
            (retry,) = self.clock.getDelayedCalls()
            delays.append(retry.getTime() - self.clock.seconds())
            self.clock.advance(delays[-1])
        return delays

    def test_waits_grow_up_to_the_cap(self) -> None:
        self.service.startService()
        self.assertEqual(self.delays(8), [1, 2, 4, 8, 16, 32, 64, 64])

    def test_a_short_connection_sets_nothing_back(self) -> None:
        self.service.startService()
        self.delays(3)
        self.accept()
        self.clock.advance(29.9)
        self.break_connection()
        self.clock.advance(8.0)
        self.assertEqual(self.delays(1), [16])

    def test_a_stable_connection_sets_it_back(self) -> None:
        self.service.startService()
        self.delays(3)
        self.accept()
        self.clock.advance(30.0)
        self.break_connection()
        self.clock.advance(1.0)
        self.assertEqual(self.delays(1), [2])

    def test_the_uptime_of_an_earlier_connection_does_not_count(self) -> None:
        self.connect()
        self.clock.advance(30.0)
        self.break_connection()
        self.clock.advance(1.0)
        self.clock.advance(29.0)
        self.assertEqual(self.delays(2), [2, 4])

    def test_a_new_start_begins_anew(self) -> None:
        self.service.startService()
        self.delays(3)
        self.service.stopService()
        self.dials[-1].done.errback(Abandoned())
        self.service.startService()
        self.assertEqual(self.delays(1), [1])


class LineTests(MqttTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_publish(self) -> None:
        self.assertTrue(self.service.publish("some/topic", b"hello"))
        qos_1_not_retained = wire.PUBLISH | 0x02
        expected = wire.text("some/topic") + struct.pack("!H", 1) + b"hello"
        self.assertEqual(self.packets(), [(qos_1_not_retained, expected)])

    def test_publish_to_no_topic(self) -> None:
        self.assertRaises(ValueError, self.service.publish, "a/+", b"")

    def test_more_messages_than_paho_lets_fly(self) -> None:
        """AWS acknowledges nothing that it throttles: that must hold nothing up."""
        for number in range(50):
            self.assertTrue(self.service.publish("topic", b"%d" % number))
        seen = [int(rest[9:]) for _, rest in self.packets()]
        self.assertEqual(seen, list(range(50)))

    def test_large_message_there(self) -> None:
        payload = bytes(range(256)) * 1200
        self.assertTrue(self.service.publish("topic", payload))
        ((_, rest),) = self.packets()
        self.assertEqual(rest[9:], payload)
        self.assertEqual(self.clock.writers, set())

    def test_large_message_back(self) -> None:
        payload = bytes(range(256)) * 1200
        message = wire.publish("topic", payload, 7)
        for start in range(0, len(message), 50_000):
            self.send(message[start : start + 50_000])
        self.assertEqual(self.told(), [("received", "topic", payload)])
        self.assertEqual(self.packets(), [(wire.PUBACK, b"\0\x07")])

    def test_messages(self) -> None:
        self.send(wire.publish("one", b"1"), wire.publish("two", b"", 2))
        self.assertEqual(self.told(), [("received", "one", b"1"), ("received", "two", b"")])

    def test_a_message_that_raises(self) -> None:
        self.send(wire.publish("topic", b"bad", 1), wire.publish("topic", b"good", 2))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual([payload for *_, payload in self.told()], [b"bad", b"good"])
        self.assertEqual(len(self.packets()), 2)
        self.assertTrue(self.service.connected)

    def test_a_topic_that_is_not_utf_8(self) -> None:
        self.send(wire.publish(b"\xff", b"", 1), wire.publish("topic", b"", 2))
        self.assertEqual(self.told(), [("received", "topic", b"")])

    def test_nonsense(self) -> None:
        self.send(b"\xf0\x00")
        self.assertEqual(self.told(), [("disconnected", "Error: Unrecognised command 240")])

    def test_a_malformed_packet(self) -> None:
        self.send(wire.packet(wire.PUBLISH, b"\0"))
        self.assertEqual([event for event, *_ in self.told()], ["disconnected"])

    def test_descriptor(self) -> None:
        (descriptor,) = self.clock.readers
        self.assertTrue(verifyObject(IReadWriteDescriptor, descriptor))
        self.assertEqual(descriptor.logPrefix(), "mqtt")

    def test_reactor_finds_the_descriptor_dead(self) -> None:
        (descriptor,) = self.clock.readers
        descriptor.connectionLost(Failure(OSError("gone")))
        descriptor.connectionLost(Failure(OSError("again")))
        self.assertEqual(self.told(), [("disconnected", "gone")])
        self.assertEqual(descriptor.fileno(), -1)
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)


class LossTests(MqttTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def test_told_once(self) -> None:
        self.break_connection()
        self.assertEqual(self.told(), [("disconnected", "the broker closed the connection")])
        self.assertFalse(self.service.connected)
        self.assertFalse(self.service.publish("topic", b""))
        self.assertEqual(self.clock.readers | self.clock.writers, set())

    def test_cause(self) -> None:
        """Writing to a closed socket: only paho's log knows why."""
        self.peer.close()
        self.service.publish("topic", b"")
        (descriptor,) = self.clock.writers
        descriptor.doWrite()
        self.assertIn("Broken pipe", self.told()[0][1])

    def test_nothing_is_sent_again(self) -> None:
        self.service.publish("topic", b"not acknowledged")
        self.packets()
        self.break_connection()
        self.told()
        self.clock.advance(1.0)
        self.accept()
        self.assertEqual(self.packets(), [])

    def test_disconnect_and_retry(self) -> None:
        with capturedLogs() as logs:
            self.service.disconnect_and_retry("no subscription")
            self.assertEqual(self.told(), [("disconnected", "no subscription")])
            self.assertFalse(self.service.connected)
            self.service.disconnect_and_retry("once more")
            self.assertEqual(self.packets(), [(wire.DISCONNECT, b"")])
            self.break_connection()
        self.assertEqual(self.told(), [])
        self.assertEqual(logs[-1]["reason"], "no subscription")
        self.clock.advance(1.0)
        self.accept()

    def test_silence_while_disconnecting(self) -> None:
        self.service.disconnect_and_retry("enough")
        self.told()
        self.send(wire.publish("topic", b"late"))
        self.assertEqual(self.told(), [])

    def test_disconnect_and_retry_without_a_connection(self) -> None:
        self.break_connection()
        self.told()
        self.service.disconnect_and_retry("no subscription")
        self.clock.advance(1.0)
        self.service.disconnect_and_retry("no subscription")
        self.assertEqual(self.told(), [])


class KeepAliveTests(MqttTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.patch(paho_client, "time_func", self.clock.seconds)
        self.clock.advance(1.0)  # paho takes 0 for "no ping was sent"
        self.connect()

    def live(self, seconds: int) -> None:
        for _ in range(seconds):
            self.clock.advance(1.0)

    def test_ping(self) -> None:
        self.live(60)
        self.assertEqual(self.packets(), [(wire.PINGREQ, b"")])
        self.send(wire.packet(wire.PINGRESP))
        self.live(59)
        self.assertEqual(self.told(), [])

    def test_no_answer(self) -> None:
        self.live(60)
        self.packets()
        self.live(60)
        self.assertEqual(self.told(), [("disconnected", "Keep alive timeout")])
        self.assertEqual(self.clock.readers | self.clock.writers, set())

    def test_paho_raises(self) -> None:
        with patch.object(paho_client.Client, "loop_misc", side_effect=RuntimeError("bug")):
            self.live(1)
        self.assertEqual(self.told(), [("disconnected", "bug")])


class SubscribeTests(MqttTestCase):
    names = tuple(f"topic/{number}" for number in range(12))

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def subscribe(self, *names: str) -> tuple[Deferred[None], list[bytes]]:
        """Subscribe; what comes of it, and the requests that the broker sees."""
        result = self.service.subscribe(names)
        packets = self.packets()
        self.assertEqual({first for first, _ in packets} - {wire.SUBSCRIBE | 0x02}, set())
        return result, [rest for _, rest in packets]

    def test_granted(self) -> None:
        result, (request,) = self.subscribe("one", "two")
        self.assertEqual(wire.filters(request), [("one", 1), ("two", 1)])
        self.assertNoResult(result)
        self.send(wire.suback(request))
        self.assertIsNone(self.successResultOf(result))

    def test_eight_at_most(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.assertEqual([len(wire.filters(request)) for request in (first, second)], [8, 4])
        asked = wire.filters(first) + wire.filters(second)
        self.assertEqual(asked, [(name, 1) for name in self.names])
        self.send(wire.suback(second))
        self.assertNoResult(result)
        self.send(wire.suback(first))
        self.successResultOf(result)

    def test_nothing(self) -> None:
        result, requests = self.subscribe()
        self.successResultOf(result)
        self.assertEqual(requests, [])

    def test_one_is_refused(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.send(wire.suback(first, [1, 0x80, 1, 1, 1, 1, 1, 1]))
        failure = self.failureResultOf(result, SubscribeError)
        self.assertEqual(str(failure.value), "the broker refuses topic/1")
        self.send(wire.suback(second))

    def test_both_are_refused(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.send(wire.suback(first, [0x80] * 8), wire.suback(second, [0x80] * 4))
        self.failureResultOf(result, SubscribeError)

    def test_odd_answer(self) -> None:
        result, (request,) = self.subscribe("one", "two")
        self.send(wire.suback(request, [1]))
        self.failureResultOf(result, SubscribeError)

    def test_answer_to_nothing(self) -> None:
        self.send(wire.suback(b"\0\x63" + wire.text("one") + b"\1"))
        self.assertTrue(self.service.connected)

    def test_connection_lost(self) -> None:
        """The owner's answer to a failed subscription does no harm to the next connection."""
        result, _ = self.subscribe(*self.names)
        result.addErrback(lambda failure: self.service.disconnect_and_retry(str(failure.value)))
        self.break_connection()
        self.assertIsNone(self.successResultOf(result))
        self.assertEqual(self.told(), [("disconnected", "the broker closed the connection")])
        self.clock.advance(1.0)
        self.accept()

    def test_stopped(self) -> None:
        result, _ = self.subscribe("one")
        self.service.stopService()
        self.break_connection()
        self.failureResultOf(result, SubscribeError)

    def test_cancelled(self) -> None:
        result, (request,) = self.subscribe("one")
        result.cancel()
        self.failureResultOf(result)
        self.send(wire.suback(request))
        self.assertTrue(self.service.connected)

    def test_while_paho_has_lost_the_socket(self) -> None:
        with patch.object(paho_client.Client, "subscribe", return_value=(4, None)):
            self.failureResultOf(self.service.subscribe(["one"]), SubscribeError)


class StopTests(MqttTestCase):
    def test_never_started(self) -> None:
        self.successResultOf(self.service.stopService())

    def test_connected(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        self.assertEqual(self.told(), [("disconnected", "stopped")])
        self.assertEqual(self.packets(), [(wire.DISCONNECT, b"")])
        self.assertEqual(self.peer.recv(1) if self.ended() else None, b"")
        self.assertNoResult(stopped)
        self.break_connection()
        self.successResultOf(stopped)
        self.assert_nothing_left()
        self.assertEqual(self.told(), [])

    def ended(self) -> bool:
        return bool(select.select([self.peer], [], [], 0)[0])

    def test_messages_that_were_handed_over_leave_first(self) -> None:
        self.connect()
        self.service.publish("topic", bytes(300_000))
        self.service.stopService()
        packets = self.packets()
        self.assertEqual([first for first, _ in packets], [0x32, wire.DISCONNECT])
        self.assertGreater(len(packets[0][1]), 300_000)

    def test_the_broker_goes_on_talking(self) -> None:
        """What nobody reads would reset the connection and could throw DISCONNECT away."""
        self.connect()
        stopped = self.service.stopService()
        self.packets()
        self.send(wire.publish("topic", bytes(100_000)))
        self.assertNoResult(stopped)
        self.break_connection()
        self.successResultOf(stopped)
        self.assertEqual(self.told(), [("disconnected", "stopped")])

    def test_the_broker_does_not_close(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        self.packets()
        self.clock.advance(DISCONNECT_TIMEOUT / 2)
        self.clock.advance(DISCONNECT_TIMEOUT / 4)
        self.assertNoResult(stopped)
        self.clock.advance(DISCONNECT_TIMEOUT / 4)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_the_broker_does_not_read(self) -> None:
        self.connect()
        self.service.publish("topic", bytes(10_000_000))
        stopped = self.service.stopService()
        while self.clock.turn():
            pass
        self.clock.advance(DISCONNECT_TIMEOUT)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_a_client_that_is_collected_late(self) -> None:
        """It must not reach the reactor: the collector runs in any thread."""
        self.connect()
        self.service.publish("topic", bytes(10_000_000))
        self.service.stopService()
        self.clock.advance(DISCONNECT_TIMEOUT)
        with patch.object(self.clock, "removeWriter") as remove_writer:
            gc.collect()
        self.assertEqual(remove_writer.mock_calls, [])

    def test_the_broker_is_gone(self) -> None:
        self.connect()
        self.peer.close()
        stopped = self.service.stopService()
        for descriptor in list(self.clock.writers):
            descriptor.doWrite()
        while self.clock.turn():
            pass
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_reset_while_lingering(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        self.packets()
        with patch.object(socket.socket, "recv", side_effect=ConnectionResetError):
            for descriptor in list(self.clock.readers):
                descriptor.doRead()
        self.successResultOf(stopped)

    def test_nothing_to_read_while_lingering(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        self.packets()
        for descriptor in list(self.clock.readers):
            descriptor.doRead()
        self.assertNoResult(stopped)

    def test_socket_cannot_be_shut_down(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        with patch.object(socket.socket, "shutdown", side_effect=OSError):
            self.pump()
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_during_the_wait_for_the_next_attempt(self) -> None:
        self.service.startService()
        self.dials[0].done.errback(OSError())
        self.successResultOf(self.service.stopService())
        self.assert_nothing_left()

    def test_during_name_lookup(self) -> None:
        self.has_socket = False
        self.service.startService()
        self.successResultOf(self.service.stopService())
        self.assertTrue(self.dials[0].abandoned)
        self.dials[0].done.errback(Abandoned())
        self.assert_nothing_left()

    def test_a_thread_from_before_the_stop(self) -> None:
        """Its end means nothing for the attempt of the next start."""
        self.has_socket = False
        self.service.startService()
        self.service.stopService()
        self.service.startService()
        self.dials[0].done.errback(Abandoned())
        self.clock.advance(1.0)
        self.assertEqual(len(self.dials), 2)
        self.accept()

    def test_during_a_connect(self) -> None:
        self.service.startService()
        stopped = self.service.stopService()
        self.assertTrue(self.dials[0].abandoned)
        self.assertNoResult(stopped)
        self.dials[0].done.errback(Abandoned())
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_before_connack(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        self.pump()
        self.successResultOf(self.service.stopService())
        self.assert_nothing_left()

    def test_while_a_connection_is_being_given_up(self) -> None:
        self.connect()
        self.service.disconnect_and_retry("no subscription")
        stopped = self.service.stopService()
        self.assertEqual(self.packets(), [(wire.DISCONNECT, b"")])
        self.break_connection()
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_from_within_an_event(self) -> None:
        self.recorder.on_connected = self.service.stopService
        self.service.startService()
        self.dial_succeeds()
        self.pump()
        self.send(wire.connack())
        self.assertEqual(self.told(), [("connected",), ("disconnected", "stopped")])
        self.assertEqual(self.packets()[-1], (wire.DISCONNECT, b""))
        self.break_connection()
        self.assert_nothing_left()


class TlsTests(MqttTestCase):
    """TLS over the socket pair: what is decrypted is no longer in the descriptor."""

    certs: Certs

    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()  # pytest leaves those of mktemp() behind
        self.addCleanup(directory.cleanup)
        self.certs = make_certs(Path(directory.name), hosts=["broker"])
        self.broker = replace(
            BROKER,
            cafile=self.certs.cafile,
            certfile=self.certs.client_cert,
            keyfile=self.certs.client_key,
        )

    def sockets(self) -> tuple[socket.socket, socket.socket]:
        plain = super().sockets()
        accepting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        accepting.load_cert_chain(self.certs.server_cert, self.certs.server_key)
        accepting.verify_mode = ssl.CERT_REQUIRED
        accepting.load_verify_locations(self.certs.cafile)
        for each in plain:
            each.setblocking(False)
        pair = (
            client_context(self.broker).wrap_socket(
                plain[0], server_hostname="broker", do_handshake_on_connect=False
            ),
            accepting.wrap_socket(
                plain[1],
                server_side=True,
                do_handshake_on_connect=False,
                suppress_ragged_eofs=False,
            ),
        )
        open_ends = list(pair)
        while open_ends:
            for end in list(open_ends):
                try:
                    end.do_handshake()
                    open_ends.remove(end)
                except ssl.SSLWantReadError:
                    pass
        for end in pair:
            self.addCleanup(end.close)
        return pair

    def test_many_packets_in_one_record(self) -> None:
        self.connect()
        messages = [wire.publish("topic", b"%d" % number) for number in range(3 * MAX_READS)]
        self.peer.sendall(b"".join(messages))
        while self.clock.turn():
            pass
        self.assertEqual(len(self.told()), MAX_READS, "a flood must leave the reactor its turns")
        self.clock.advance(0)
        self.assertEqual(len(self.told()), 2 * MAX_READS)
        (misc,) = self.clock.getDelayedCalls()
        self.assertEqual(misc.getTime(), 1.0)

    def test_rest_is_dropped_with_the_connection(self) -> None:
        self.connect()
        self.send(*[wire.publish("topic", b"")] * (MAX_READS + 1))
        self.peer.close()
        stopped = self.service.stopService()
        self.clock.advance(DISCONNECT_TIMEOUT)
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_reading_the_rest_raises(self) -> None:
        self.connect()
        self.send(*[wire.publish("topic", b"")] * (MAX_READS + 1))
        self.told()
        with patch.object(paho_client.Client, "loop_read", side_effect=RuntimeError("bug")):
            self.clock.advance(0)
        self.assertEqual(self.told(), [("disconnected", "bug")])

    def test_disconnect_and_close_notify(self) -> None:
        self.connect()
        stopped = self.service.stopService()
        self.assertEqual(self.packets(), [(wire.DISCONNECT, b"")])
        self.assertEqual(self.peer.recv(1), b"", "the end of TLS, told properly")
        self.peer.close()
        self.pump()
        self.successResultOf(stopped)
        self.assert_nothing_left()

    def test_context(self) -> None:
        context = client_context(self.broker)
        self.assertEqual(context.verify_mode, ssl.CERT_REQUIRED)
        self.assertTrue(context.check_hostname)
        self.assertEqual(context.minimum_version, ssl.TLSVersion.TLSv1_2)

    def test_alpn_on_443_only(self) -> None:
        for port, expected in [(443, [["x-amzn-mqtt-ca"]]), (8883, []), (8443, []), (1883, [])]:
            with patch.object(ssl.SSLContext, "set_alpn_protocols") as set_alpn_protocols:
                client_context(replace(self.broker, port=port))
            self.assertEqual([call.args[0] for call in set_alpn_protocols.mock_calls], expected)


class DialTests(SynchronousTestCase):
    """What cannot be provoked with real threads and sockets."""

    def test_no_more_threads(self) -> None:
        dial = Dial(FdClock(), BROKER)  # type: ignore[arg-type]
        with patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            self.failureResultOf(dial.start(), RuntimeError)
