"""One connection to the broker, driven by the thread that makes it: paho's own loop."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from paho.mqtt import client as paho
from paho.mqtt.client import MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode, MQTTProtocolVersion
from paho.mqtt.reasoncodes import ReasonCode

from upparat.config.settings import BrokerSettings

TURN = 0.2
"""Seconds of one turn of the loop."""

Version = MQTTProtocolVersion


class Refusal(Exception):
    """The broker refuses, closes the connection or does not answer. The message says which.

    :ivar closed: whether the connection is gone.
    """

    def __init__(self, reason: str, *, closed: bool) -> None:
        super().__init__(reason)
        self.closed = closed


class _Client(paho.Client):
    """A client on a socket that is open already; paho closes it."""

    def __init__(self, opened: socket.socket, client_id: str, version: Version) -> None:
        self._opened = opened
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id,
            clean_session=None if version is Version.MQTTv5 else True,
            protocol=version,
            reconnect_on_failure=False,
        )

    def _create_socket(self) -> socket.socket:
        return self._opened


class MqttProbe:
    """A connection that asks one thing after the other, and waits for each answer.

    :param opened: a connected socket, over TLS if that is configured. The probe closes it.
    :param version: AWS says more in MQTT 5; the agent speaks 3.1.1.
    :ivar messages: topic and payload of each message that has come.
    """

    def __init__(
        self,
        opened: socket.socket,
        broker: BrokerSettings,
        client_id: str,
        version: Version = Version.MQTTv311,
    ) -> None:
        self.messages: list[tuple[str, bytes]] = []
        self._broker = broker
        self._codes: dict[int | str | None, ReasonCode] = {}
        self._trouble = ""
        self._socket = opened
        self._client = _Client(opened, client_id, version)
        self._client.on_connect = self._on_connect
        self._client.on_disconnect = self._on_disconnect
        self._client.on_subscribe = self._on_subscribe
        self._client.on_publish = self._on_publish
        self._client.on_message = self._on_message
        if broker.username:
            self._client.username_pw_set(broker.username, broker.password or None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    @property
    def lost(self) -> bool:
        """Whether the connection is gone."""
        return self._client.socket() is None

    @property
    def trouble(self) -> str:
        """Why the connection is gone, as far as that is known."""
        return self._trouble or "the broker closed the connection"

    def connect(self, seconds: float) -> None:
        """Send CONNECT and wait for CONNACK.

        :raises Refusal: if the broker does not accept the client.
        """
        broker = self._broker
        try:
            self._client.connect(broker.host, broker.port, broker.keepalive)
        except OSError as error:
            raise Refusal(str(error), closed=True) from None
        self._answered("connect", seconds, "it does not answer CONNECT")

    def subscribe(self, name: str, seconds: float) -> None:
        """Subscribe to a filter with QoS 1, and wait for SUBACK.

        :raises Refusal: if the filter is not granted.
        """
        _, mid = self._client.subscribe(name, 1)
        self._answered(mid, seconds, "it does not answer SUBSCRIBE")

    def publish(self, topic: str, payload: bytes, seconds: float) -> None:
        """Publish with QoS 1, and wait for PUBACK.

        :raises Refusal: if the message is not accepted.
        """
        mid = self._client.publish(topic, payload, qos=1).mid
        self._answered(mid, seconds, "it does not acknowledge PUBLISH")

    def wait(self, done: Callable[[], object], seconds: float) -> bool:
        """Work until the condition holds; returns whether it does. Ends early if the connection
        does."""
        deadline = time.monotonic() + seconds
        while not done() and not self.lost:
            left = deadline - time.monotonic()
            if left <= 0:
                break
            if self._client.loop(min(left, TURN)) is MQTTErrorCode.MQTT_ERR_PROTOCOL:
                self._trouble = "it does not speak MQTT 3.1.1"
        return bool(done())

    def close(self) -> None:
        """Send DISCONNECT and close."""
        if not self.lost:
            self._client.disconnect()
            self.wait(lambda: self.lost, 1.0)
        self._socket.close()

    def _answered(self, key: int | str | None, seconds: float, silence: str) -> None:
        if not self.wait(lambda: key in self._codes, seconds):
            raise Refusal(self.trouble if self.lost else silence, closed=self.lost)
        if self._codes[key].is_failure:
            raise Refusal(str(self._codes[key]), closed=self.lost)

    # --- paho's callbacks, which it calls from its loop only ---

    def _on_connect(self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any) -> None:
        self._codes["connect"] = code

    def _on_subscribe(
        self, client: Any, data: Any, mid: int, codes: list[ReasonCode], more: Any
    ) -> None:
        self._codes[mid] = codes[0]

    def _on_publish(self, client: Any, data: Any, mid: int, code: ReasonCode, more: Any) -> None:
        self._codes[mid] = code

    def _on_message(self, client: Any, data: Any, message: MQTTMessage) -> None:
        self.messages.append((message.topic, bytes(message.payload)))

    def _on_disconnect(
        self, client: Any, data: Any, flags: Any, code: ReasonCode, more: Any
    ) -> None:
        if flags.is_disconnect_packet_from_server:
            self._trouble = f"the broker closed the connection: {code}"
