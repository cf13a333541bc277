"""One connection: each answer is waited for, and each end has a reason."""

from __future__ import annotations

import socket
from collections.abc import Callable

from tests.support.rawbroker import (
    DISCONNECT,
    Peer,
    RawBroker,
    connack,
    packet,
    publish,
    suback,
)
from tests.support.waiting import wait_until
from tests.unit.doctor.bench import DoctorBench
from upparat.config.settings import BrokerSettings
from upparat.doctor.probe import MqttProbe, Refusal, Version


class ProbeTests(DoctorBench):
    def probe(
        self, script: Callable[[Peer], None], version: Version = Version.MQTTv311
    ) -> MqttProbe:
        self.server = RawBroker(script)
        self.server.__enter__()
        self.addCleanup(self.server.__exit__, None, None, None)
        opened = socket.create_connection(("127.0.0.1", self.server.port))
        broker = BrokerSettings(host="127.0.0.1", username="user", password="secret")
        made = MqttProbe(opened, broker, "client", version)
        self.addCleanup(made.close)
        return made

    def test_connect_and_disconnect(self) -> None:
        def script(peer: Peer) -> None:
            peer.read()
            peer.send(connack())
            peer.read()

        with self.probe(script) as probe:
            probe.connect(5.0)
            self.assertFalse(probe.lost)
        self.assertTrue(probe.lost)
        packets = self.server.peers[0].packets
        wait_until(lambda: len(packets) == 2)
        connect, disconnect = packets
        for word in (b"client", b"user", b"secret"):
            self.assertIn(word, connect[1])
        self.assertEqual(disconnect[0], DISCONNECT)

    def test_no_answer(self) -> None:
        def script(peer: Peer) -> None:
            peer.read()
            peer.send(connack())
            peer.read_all()

        probe = self.probe(script)
        probe.connect(5.0)
        refusal = self.assertRaises(Refusal, probe.publish, "topic", b"", 0.05)
        self.assertEqual((str(refusal), refusal.closed), ("it does not acknowledge PUBLISH", False))
        refusal = self.assertRaises(Refusal, probe.subscribe, "topic", 0.05)
        self.assertEqual(str(refusal), "it does not answer SUBSCRIBE")

    def test_a_refused_filter_leaves_the_connection(self) -> None:
        def script(peer: Peer) -> None:
            peer.read()
            peer.send(connack())
            peer.send(suback(peer.read()[1], [0x80]))
            peer.send(suback(peer.read()[1]))
            peer.read_all()

        probe = self.probe(script)
        probe.connect(5.0)
        refusal = self.assertRaises(Refusal, probe.subscribe, "a", 5.0)
        self.assertFalse(refusal.closed)
        probe.subscribe("b", 5.0)

    def test_messages(self) -> None:
        def script(peer: Peer) -> None:
            peer.read()
            peer.send(connack(), publish("topic", b"payload"))
            peer.read_all()

        probe = self.probe(script)
        probe.connect(5.0)
        self.assertTrue(probe.wait(lambda: probe.messages, 5.0))
        self.assertEqual(probe.messages, [("topic", b"payload")])

    def test_the_broker_says_why_it_closes(self) -> None:
        def script(peer: Peer) -> None:
            peer.read()
            peer.send(packet(0x20, b"\0\0\0"), packet(DISCONNECT, b"\x8e\x04\x1f\0\x01x"))
            peer.read_all()

        probe = self.probe(script, Version.MQTTv5)
        probe.connect(5.0)
        self.assertFalse(probe.wait(lambda: False, 5.0))
        self.assertTrue(probe.lost)
        self.assertIn("Session taken over", probe.trouble)

    def test_a_server_of_another_protocol(self) -> None:
        probe = self.probe(lambda peer: peer.send(b"SSH-2.0-OpenSSH_9.2\r\n"))
        refusal = self.assertRaises(Refusal, probe.connect, 5.0)
        self.assertTrue(refusal.closed)
