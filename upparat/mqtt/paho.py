"""paho-mqtt's client on a socket that somebody else opens and closes, and its subscriptions."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from twisted.internet.defer import Deferred, succeed

from .session import SubscribeError

MAX_FILTERS = 8
"""Filters that AWS accepts in one SUBSCRIBE."""


class PahoClient(paho.Client):
    """Speaks MQTT 3.1.1 with a clean session; never reconnects.

    The socket comes from outside, because paho's own way to open one blocks and cannot be
    interrupted.
    """

    def __init__(self, client_id: str, opened: socket.socket) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=True,
            protocol=MQTTProtocolVersion.MQTTv311,
            reconnect_on_failure=False,
        )
        self._opened = opened

    def _create_socket(self) -> _BorrowedSocket:
        return _BorrowedSocket(self._opened)


class _BorrowedSocket:
    """The socket as paho sees it: paho cannot close it.

    paho would close it before the last packet has left, and before the reactor has forgotten the
    descriptor.
    """

    def __init__(self, opened: socket.socket) -> None:
        self.recv = opened.recv
        self.send = opened.send
        self.fileno = opened.fileno
        self.setblocking = opened.setblocking

    def close(self) -> None:
        """Leave the socket open; the connection closes it."""


class Subscriptions:
    """The subscriptions of one connection that wait for their SUBACK."""

    def __init__(self, client: PahoClient) -> None:
        self._client = client
        self._packets: dict[int, _SubscribePacket] = {}

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        """Ask for all filters with QoS 1, at most :data:`MAX_FILTERS` in one SUBSCRIBE.

        The Deferred fires when all of them are granted, or fails with :class:`SubscribeError`.

        :raises ValueError: if a filter is not valid.
        """
        if not filters:
            return succeed(None)
        batch = _Batch()
        for start in range(0, len(filters), MAX_FILTERS):
            self._send(filters[start : start + MAX_FILTERS], batch)
        return batch.done

    def _send(self, filters: Sequence[str], batch: _Batch) -> None:
        _, mid = self._client.subscribe([(name, 1) for name in filters])
        if mid is None:
            batch.fail("there is no connection")
        else:
            batch.waiting.add(mid)
            self._packets[mid] = _SubscribePacket(filters, batch)

    def suback_received(self, mid: int, granted: Sequence[bool]) -> None:
        """Take a SUBACK.

        :param mid: the packet identifier of the SUBSCRIBE that it answers.
        :param granted: for each filter of that SUBSCRIBE, whether the broker grants it.
        """
        packet = self._packets.pop(mid, None)
        if packet is not None:
            packet.answered(mid, granted)

    def connection_lost(self, reason: str) -> None:
        """Fail everything that waits, because no SUBACK comes any more."""
        packets, self._packets = self._packets, {}
        for packet in packets.values():
            packet.batch.fail(f"the connection was lost: {reason}")


@dataclass
class _Batch:
    """Several SUBSCRIBEs that succeed or fail as one; the user may cancel ``done``.

    :ivar waiting: the packet identifiers of those that are not granted yet.
    """

    waiting: set[int] = field(default_factory=set)
    done: Deferred[None] = field(default_factory=Deferred)

    def granted(self, mid: int) -> None:
        self.waiting.discard(mid)
        if not self.waiting and not self.done.called:
            self.done.callback(None)

    def fail(self, reason: str) -> None:
        if not self.done.called:
            self.done.errback(SubscribeError(reason))


@dataclass
class _SubscribePacket:
    """One SUBSCRIBE."""

    filters: Sequence[str]
    batch: _Batch

    def answered(self, mid: int, granted: Sequence[bool]) -> None:
        if len(granted) != len(self.filters):
            self.batch.fail("SUBACK does not match SUBSCRIBE")
        elif not all(granted):
            names = [name for name, yes in zip(self.filters, granted, strict=True) if not yes]
            self.batch.fail(f"the broker refuses {', '.join(names)}")
        else:
            self.batch.granted(mid)
