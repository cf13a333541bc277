"""One connection to the broker: paho on an open socket, driven by the reactor."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import Any, Protocol

from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import LogLevel, MQTTErrorCode
from paho.mqtt.reasoncodes import ReasonCode
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReactorTime, IReadWriteDescriptor
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from upparat.config.settings import BrokerSettings
from upparat.oneshot import OneShot

from .paho import PahoClient, Subscriptions

MAX_READS = 32
"""Reads in one turn of the reactor, so that a flood of messages does not starve other work."""

MISC_INTERVAL = 1.0
"""Seconds between two calls of paho's ``loop_misc``, which does the keep-alive."""

DISCONNECT_TIMEOUT = 2.0
"""Seconds for DISCONNECT to leave and for the broker to close the connection after it."""


class ConnectionReactor(IReactorFDSet, IReactorTime):
    """The interfaces of the reactor that a connection needs."""


class ConnectionListener(Protocol):
    """Receives what happens to one connection."""

    def accepted(self) -> None:
        """CONNACK has accepted the client."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message has come."""

    def lost(self, reason: str) -> None:
        """The socket is closed. Called once; nothing follows."""


@implementer(IReadWriteDescriptor)
class Connection:
    """One connection, from CONNECT to DISCONNECT.

    Each has a paho client of its own, so that nothing of an old connection is sent again on a new
    one.
    """

    def __init__(
        self,
        reactor: ConnectionReactor,
        broker: BrokerSettings,
        opened: socket.socket,
        listener: ConnectionListener,
    ) -> None:
        self._reactor = reactor
        self._broker = broker
        self._socket = opened
        self._listener = listener
        self._client = self._make_client()
        self._misc = LoopingCall(self._do_misc)
        self._misc.clock = reactor
        self._rest = OneShot(reactor)
        self._disconnect_timeout = OneShot(reactor)
        self._accepted = self._leaving = self._lingering = self._closed = False
        self._trouble = ""
        self._reason = ""
        self._subscriptions = Subscriptions(self._client)

    def _make_client(self) -> PahoClient:
        client = PahoClient(self._broker.client_id, self._socket)
        # By default paho keeps messages back once 20 wait for PUBACK. AWS sends no PUBACK for a
        # message that it throttles.
        client.max_inflight_messages_set(0)
        if self._broker.username:
            client.username_pw_set(self._broker.username, self._broker.password or None)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_log = self._on_log
        client.on_message = self._on_message
        client.on_subscribe = self._on_subscribe
        client.on_socket_register_write = lambda *_: self._reactor.addWriter(self)
        client.on_socket_unregister_write = lambda *_: self._reactor.removeWriter(self)
        return client

    def start(self) -> None:
        """Send CONNECT."""
        self._reactor.addReader(self)
        self._client.connect(self._broker.host, self._broker.port, self._broker.keepalive)
        self._misc.start(MISC_INTERVAL, now=False).addErrback(self.connectionLost)

    @property
    def usable(self) -> bool:
        """Whether messages can be sent, and those that come are reported."""
        return self._accepted and not self._leaving and not self._closed

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 1, not retained; returns ``False`` if the message was dropped."""
        if not self.usable:
            return False
        sent = self._client.publish(topic, payload, qos=1, retain=False)
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        """Subscribe with QoS 1; see :meth:`Subscriptions.subscribe`."""
        return self._subscriptions.subscribe(filters)

    def disconnect(self, reason: str) -> None:
        """Send DISCONNECT, wait until it has left, and close; only ``lost`` is reported then."""
        if not self._accepted:
            self.abort(reason)
        if self._leaving or self._closed:
            return
        self._reason = self._reason or reason
        self._leaving = True
        self._disconnect_timeout.start(DISCONNECT_TIMEOUT, self._close)
        self._client.disconnect()

    def abort(self, reason: str) -> None:
        """Close at once."""
        self._reason = self._reason or reason
        self._close()

    # --- IReadWriteDescriptor ---

    def fileno(self) -> int:
        return self._socket.fileno()

    def logPrefix(self) -> str:
        return "mqtt"

    def doRead(self) -> None:
        if self._lingering:
            self._drain()
            return
        for _ in range(MAX_READS):
            self._client.loop_read()
            if self._given_up():
                return
            # The reactor does not see bytes that TLS has decrypted, because the descriptor has
            # none of them any more.
            if not self._decrypted():
                return
        if not self._rest.running:
            self._rest.start(0, self._read_rest)

    def doWrite(self) -> None:
        self._client.loop_write()
        self._given_up()

    def connectionLost(self, reason: Failure) -> None:
        """Close, because the descriptor is dead, or reading or writing has raised."""
        self._trouble = self._trouble or reason.getErrorMessage()
        self._close()

    def _decrypted(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _read_rest(self) -> None:
        try:
            self.doRead()
        except Exception:
            self.connectionLost(Failure())

    def _do_misc(self) -> None:
        self._client.loop_misc()
        self._given_up()

    # --- the end ---

    def _given_up(self) -> bool:
        """Whether paho has dropped the socket, after an error or after DISCONNECT."""
        if self._closed or self._client.socket() is not None:
            return self._closed
        if not self._leaving:
            self._close()
        elif not self._lingering:
            self._linger()
        return True

    def _linger(self) -> None:
        """Wait until the broker closes.

        To close a socket with unread data resets the connection, and DISCONNECT may be lost.
        """
        self._lingering = True
        self._reactor.removeWriter(self)
        if isinstance(self._socket, ssl.SSLSocket):
            with suppress(OSError):  # sends close_notify and does not wait for the broker's
                self._socket.unwrap()
        try:
            socket.socket.shutdown(self._socket, socket.SHUT_WR)
        except OSError:
            self._close()

    def _drain(self) -> None:
        try:
            rest = socket.socket.recv(self._socket, 65536)
        except BlockingIOError:
            return
        except OSError:
            rest = b""
        if not rest:
            self._close()

    def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._reactor.removeReader(self)
        self._reactor.removeWriter(self)
        # paho calls these when it is garbage-collected, which may happen in another thread.
        self._client.on_socket_register_write = self._client.on_socket_unregister_write = None
        if self._misc.running:
            self._misc.stop()
        self._rest.cancel()
        self._disconnect_timeout.cancel()
        self._socket.close()
        reason = self._reason or self._trouble or self._closed_by_broker()
        self._subscriptions.connection_lost(reason)
        self._listener.lost(reason)

    def _closed_by_broker(self) -> str:
        """The reason where no error is known: AWS closes without an answer to refuse a client."""
        closed = "the broker closed the connection"
        return closed if self._accepted else f"{closed} instead of accepting it"

    # --- paho's callbacks, which it calls from its loop functions only ---

    def _on_connect(self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any) -> None:
        if code.is_failure:
            self._reason = f"the broker refuses the connection: {code}"
        elif not self._accepted:
            self._accepted = True
            self._listener.accepted()

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any
    ) -> None:
        if code.getName() in ("Keep alive timeout", "Protocol error"):
            self._trouble = self._trouble or str(code)

    def _on_log(self, client: Any, data: Any, level: int, text: str) -> None:
        # paho names the cause of a lost connection nowhere else.
        if level == LogLevel.MQTT_LOG_ERR:
            self._trouble = text

    def _on_message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self.usable:
            self._listener.received(topic, bytes(message.payload))

    def _on_subscribe(
        self, client: Any, data: Any, mid: int, codes: Sequence[ReasonCode], more: Any
    ) -> None:
        self._subscriptions.suback_received(mid, [not code.is_failure for code in codes])
