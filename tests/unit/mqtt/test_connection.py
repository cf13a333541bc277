"""One connection: packets, the keep-alive, and TLS on the descriptor."""

from __future__ import annotations

import socket
import ssl
import struct
from dataclasses import replace
from unittest.mock import patch

from paho.mqtt import client as paho_client
from twisted.internet.interfaces import IReadWriteDescriptor
from twisted.python.failure import Failure
from zope.interface.verify import verifyObject

from tests.support import rawbroker as wire
from tests.support.certs import Certs
from tests.unit.mqtt.bench import BROKER, MqttTestCase, certificates, with_tls
from upparat.mqtt.connection import DISCONNECT_TIMEOUT, MAX_READS
from upparat.mqtt.dial import client_context


class CredentialsTests(MqttTestCase):
    broker = replace(BROKER, username="me", password="secret")

    def test_connect_packet(self) -> None:
        self.service.startService()
        self.dial_succeeds()
        ((_, rest),) = self.packets()
        self.assertEqual(rest[7], 0xC2)
        self.assertTrue(rest.endswith(wire.text("me") + wire.text("secret")))


class MessageTests(MqttTestCase):
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


class TlsTests(MqttTestCase):
    """TLS over the socket pair: what is decrypted is no longer in the descriptor."""

    certs: Certs

    def setUp(self) -> None:
        super().setUp()
        self.certs = certificates(self)
        self.broker = with_tls(self.certs)

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
