"""The scripted cloud's connection to its broker: hears everything that clients publish."""

from __future__ import annotations

import json
from collections.abc import Callable

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.subscribeoptions import SubscribeOptions

from upparat.local.watch import hang_up

BROKER_OPTIONS = (
    "max_inflight_messages 100",
    "max_keepalive 1200",
    "persistent_client_expiration 1h",
)
"""AWS's limits, as far as mosquitto has them. Its limits of QoS, size and retained messages stay
off: a message that the broker drops is a breach that nobody sees."""


class CloudConnection:
    """A client with a thread of its own, which connects again when the broker is back.

    MQTT 5 lets it see the flags of a message as they were published, and not its own messages.

    :param received: told each message, in the thread.
    :param ready: told, in the thread, when the subscription stands, after every connection.
    """

    def __init__(
        self,
        host: str,
        port: int,
        received: Callable[[MQTTMessage], None],
        ready: Callable[[], None],
    ) -> None:
        self._address = (host, port)
        client = Client(CallbackAPIVersion.VERSION2, "cloud", protocol=MQTTProtocolVersion.MQTTv5)
        client.reconnect_delay_set(0.02, 0.02)  # type: ignore[arg-type]
        client.on_connect = lambda *_: self._subscribe()
        client.on_subscribe = lambda *_: ready()
        client.on_message = lambda _, __, message: received(message)
        self._client = client

    def open(self) -> None:
        self._client.connect(*self._address, clean_start=True)
        self._client.loop_start()

    def close(self) -> None:
        hang_up(self._client)

    def publish(self, topic: str, payload: object) -> None:
        """Send bytes as they are, anything else as compact JSON."""
        if not isinstance(payload, bytes):
            payload = json.dumps(payload, separators=(",", ":"), ensure_ascii=False).encode()
        self._client.publish(topic, payload, qos=1)

    def _subscribe(self) -> None:
        options = SubscribeOptions(qos=2, noLocal=True, retainAsPublished=True)
        self._client.subscribe([("$aws/#", options), ("#", options)])
