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
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorFDSet,
    IReactorTime,
    IReadWriteDescriptor,
)
from twisted.internet.task import LoopingCall
from twisted.python.failure import Failure
from zope.interface import implementer

from upparat.config.settings import Broker

from .paho import Client
from .subscriptions import Subscriptions

READS = 32
"""Reads in one turn of the reactor, so that a flood of messages does not starve the rest."""

MISC_INTERVAL = 1.0
"""Seconds between paho's looks at the keep-alive."""

FAREWELL = 2.0
"""Seconds that DISCONNECT has to leave in, and the broker to close the connection after it."""


class Reactor(IReactorFDSet, IReactorTime):
    """What a connection asks of a reactor."""


class Owner(Protocol):
    """What a connection tells; ``lost`` comes last, once, when its socket is closed."""

    def accepted(self) -> None: ...

    def received(self, topic: str, payload: bytes) -> None: ...

    def lost(self, reason: str) -> None: ...


@implementer(IReadWriteDescriptor)
class Connection:
    """From CONNECT to DISCONNECT. Each has a paho client of its own, so that nothing of an old
    connection is sent again on a new one."""

    def __init__(
        self, reactor: Reactor, broker: Broker, opened: socket.socket, owner: Owner
    ) -> None:
        self._reactor = reactor
        self._broker = broker
        self._socket = opened
        self._owner = owner
        self._client = self._make_client()
        self._misc = LoopingCall(self._look_after)
        self._misc.clock = reactor
        self._rest: IDelayedCall | None = None
        self._farewell: IDelayedCall | None = None
        self._accepted = self._leaving = self._lingering = self._closed = False
        self._trouble = ""
        self._reason = ""
        self._subscriptions = Subscriptions(self._client)

    def _make_client(self) -> Client:
        client = Client(self._broker.client_id, self._socket)
        # Otherwise it keeps all messages back once 20 have got no PUBACK, and AWS gives none to a
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
        """Whether messages can be sent and are told."""
        return self._accepted and not self._leaving and not self._closed

    def publish(self, topic: str, payload: bytes) -> bool:
        """Hand a message over for sending, with QoS 1 and not retained."""
        if not self.usable:
            return False
        sent = self._client.publish(topic, payload, qos=1, retain=False)
        return sent.rc == MQTTErrorCode.MQTT_ERR_SUCCESS

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        """Ask for all of them with QoS 1; see :meth:`Subscriptions.ask`."""
        return self._subscriptions.ask(filters)

    def disconnect(self, reason: str) -> None:
        """Say DISCONNECT, see that it leaves, and close; nothing is told but the end."""
        if not self._accepted:
            self.abort(reason)
        if self._leaving or self._closed:
            return
        self._reason = self._reason or reason
        self._leaving = True
        self._farewell = self._reactor.callLater(FAREWELL, self._close)
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
        for _ in range(READS):
            self._client.loop_read()
            if self._given_up():
                return
            # What TLS has decrypted is no longer in the descriptor, which therefore stays quiet.
            if not self._decrypted():
                return
        if self._rest is None:
            self._rest = self._reactor.callLater(0, self._read_rest)

    def doWrite(self) -> None:
        self._client.loop_write()
        self._given_up()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor found the descriptor dead, or reading or writing raised."""
        self._trouble = self._trouble or reason.getErrorMessage()
        self._close()

    def _decrypted(self) -> bool:
        return isinstance(self._socket, ssl.SSLSocket) and self._socket.pending() > 0

    def _read_rest(self) -> None:
        self._rest = None
        try:
            self.doRead()
        except Exception:
            self.connectionLost(Failure())

    def _look_after(self) -> None:
        self._client.loop_misc()
        self._given_up()

    # --- the end ---

    def _given_up(self) -> bool:
        """Whether paho has let go of the socket, after an error or after DISCONNECT."""
        if self._closed or self._client.socket() is not None:
            return self._closed
        if not self._leaving:
            self._close()
        elif not self._lingering:
            self._linger()
        return True

    def _linger(self) -> None:
        """Wait until the broker closes: closing over unread data would throw DISCONNECT away."""
        self._lingering = True
        self._reactor.removeWriter(self)
        if isinstance(self._socket, ssl.SSLSocket):
            with suppress(OSError):  # sends close_notify; the answer is not waited for
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
        # A client that is collected late must not reach the reactor, perhaps from a thread.
        self._client.on_socket_register_write = self._client.on_socket_unregister_write = None
        if self._misc.running:
            self._misc.stop()
        for call in (self._rest, self._farewell):
            if call is not None and call.active():
                call.cancel()
        self._socket.close()
        reason = self._reason or self._trouble or self._silent_end()
        self._subscriptions.lose(reason)
        self._owner.lost(reason)

    def _silent_end(self) -> str:
        """AWS does not answer a client that it does not admit: it only closes."""
        what = "the broker closed the connection"
        return what if self._accepted else f"{what} instead of accepting it"

    # --- what paho tells, always from within one of its loop functions ---

    def _on_connect(self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any) -> None:
        if code.is_failure:
            self._reason = f"the broker refuses the connection: {code}"
        elif not self._accepted:
            self._accepted = True
            self._owner.accepted()

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any
    ) -> None:
        if code.getName() in ("Keep alive timeout", "Protocol error"):
            self._trouble = self._trouble or str(code)

    def _on_log(self, client: Any, data: Any, level: int, text: str) -> None:
        # paho tells the cause of a lost connection nowhere else.
        if level == LogLevel.MQTT_LOG_ERR:
            self._trouble = text

    def _on_message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            return
        if self.usable:
            self._owner.received(topic, bytes(message.payload))

    def _on_subscribe(
        self, client: Any, data: Any, mid: int, codes: Sequence[ReasonCode], more: Any
    ) -> None:
        self._subscriptions.answered(mid, [not code.is_failure for code in codes])
