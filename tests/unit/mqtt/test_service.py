"""From start to stop: connecting, back-off, and the loss of connections."""

from __future__ import annotations

import gc
import select
import socket
from unittest.mock import patch

from paho.mqtt import client as paho_client
from twisted.logger import LogLevel, capturedLogs

from tests.support import rawbroker as wire
from tests.unit.mqtt.bench import MqttTestCase
from upparat.mqtt.connection import DISCONNECT_TIMEOUT
from upparat.mqtt.dial import Abandoned
from upparat.mqtt.session import SubscribeError
from upparat.snapshots import ConnectionSnapshot


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


class SnapshotTests(MqttTestCase):
    def test_a_connection(self) -> None:
        self.assertEqual(self.service.snapshot(), ConnectionSnapshot())
        self.connect()
        self.clock.advance(7.0)
        self.assertEqual(self.service.snapshot(), ConnectionSnapshot(seconds=7.0))

    def test_a_connection_that_was_lost(self) -> None:
        self.connect()
        self.break_connection()
        reason = "the broker closed the connection"
        self.assertEqual(self.service.snapshot(), ConnectionSnapshot(problem=reason, retry=1.0))
        self.clock.advance(1.0)
        self.assertEqual(self.service.snapshot(), ConnectionSnapshot(problem=reason))

    def test_a_connection_that_is_given_up(self) -> None:
        self.connect()
        self.service.disconnect_and_retry("no subscription")
        self.assertEqual(self.service.snapshot(), ConnectionSnapshot(problem="no subscription"))
