"""Brokers that do what the step of a test needs, on loopback sockets."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from tests.support.rawbroker import (
    CONNECT,
    DISCONNECT,
    PUBLISH,
    SUBSCRIBE,
    Peer,
    RawBroker,
    connack,
    filters,
    packet,
    puback,
    publish,
    suback,
)

FIVE = 5
"""The protocol level of MQTT 5 in CONNECT."""


def level(connect: bytes) -> int:
    """The protocol level of a CONNECT: 4 is MQTT 3.1.1."""
    return connect[6]


def client_id(connect: bytes) -> str:
    """The client id of a CONNECT of MQTT 3.1.1."""
    return connect[12 : 12 + connect[11]].decode()


@dataclass
class Iot:
    """Speaks MQTT 3.1.1 as AWS IoT does: a forbidden client or topic closes the connection.

    :ivar forbids: says of a client id, filter or topic whether the policy forbids it.
    :ivar answer: the name of the response to a get, and its members; ``None`` for silence.
    """

    forbids: Callable[[str], bool] = lambda name: False
    answer: tuple[str, Mapping[str, object]] | None = ("accepted", {})

    def broker(self) -> RawBroker:
        return RawBroker(self.serve)

    def serve(self, peer: Peer) -> None:
        kind, body = peer.read()
        assert kind == CONNECT
        if level(body) == FIVE or self.forbids(client_id(body)):
            return
        peer.send(connack())
        while True:
            kind, body = peer.read()
            if kind & 0xF0 == DISCONNECT or not self._serve(peer, kind & 0xF0, body):
                return

    def _serve(self, peer: Peer, kind: int, body: bytes) -> bool:
        if kind == SUBSCRIBE:
            if any(self.forbids(name) for name, _ in filters(body)):
                return False
            peer.send(suback(body))
        elif kind == PUBLISH:
            length = int.from_bytes(body[:2], "big")
            topic, rest = body[2 : 2 + length].decode(), body[2 + length :]
            if self.forbids(topic):
                return False
            peer.send(puback(int.from_bytes(rest[:2], "big")))
            self._respond(peer, topic, rest[2:])
        return True

    def _respond(self, peer: Peer, topic: str, payload: bytes) -> None:
        if self.answer is not None and topic.endswith("/jobs/get"):
            name, members = self.answer
            content = {**json.loads(payload), **members}
            peer.send(publish(topic + "/other", b"not JSON"))
            peer.send(publish(f"{topic}/{name}", json.dumps(content).encode()))


def refusing(code: int) -> RawBroker:
    """One that answers each CONNECT with this code."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(connack(code))

    return RawBroker(script)


def taken_over() -> RawBroker:
    """One that closes each connection soon after it has accepted it."""

    def script(peer: Peer) -> None:
        peer.read()
        peer.send(connack())

    return RawBroker(script)


def five(codes: dict[str, int]) -> RawBroker:
    """One that speaks MQTT 5, and refuses these filters and topics with these reason codes."""

    def script(peer: Peer) -> None:
        kind, body = peer.read()
        if level(body) != FIVE:
            return
        peer.send(packet(0x20, b"\0\0\0"))
        while True:
            kind, body = peer.read()
            if kind & 0xF0 == SUBSCRIBE:
                # packet id, no properties, then one filter
                name = body[5 : 5 + int.from_bytes(body[3:5], "big")].decode()
                peer.send(packet(0x90, body[:2] + b"\0" + bytes([codes.get(name, 1)])))
            elif kind & 0xF0 == PUBLISH:
                end = 2 + int.from_bytes(body[:2], "big")
                code = codes.get(body[2:end].decode().rpartition("/")[2], 0)
                peer.send(packet(0x40, body[end : end + 2] + bytes([code, 0])))
            else:
                return

    return RawBroker(script)


def silent() -> RawBroker:
    """One that takes connections and says nothing."""
    return RawBroker(lambda peer: peer.read_all())
