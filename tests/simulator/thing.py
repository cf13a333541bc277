"""A device's MQTT connection without an agent: asks, and hears the answers."""

from __future__ import annotations

import json
import queue
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.waiting import PATIENCE
from upparat.local.device import Device
from upparat.local.watch import hang_up


class Thing:
    """Connects at once; the ``with`` block starts when it has subscribed."""

    def __init__(
        self,
        thing_name: str,
        port: int,
        device: Device | None = None,
        client_id: str = "",
        login: tuple[str, str] | None = None,
    ) -> None:
        self.base = f"$aws/things/{thing_name}/jobs/"
        self.heard: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self.events: queue.SimpleQueue[str] = queue.SimpleQueue()
        self.client = Client(CallbackAPIVersion.VERSION2, client_id or thing_name)
        if login is not None:
            self.client.username_pw_set(*login)
        if device is not None:
            self.client.tls_set(str(device.cafile), str(device.certfile), str(device.keyfile))
        self.client.on_message = lambda _, __, message: self.heard.put(
            (message.topic.removeprefix(self.base), json.loads(message.payload))
        )
        self.client.on_connect = lambda *_: self.events.put("connected")
        self.client.on_subscribe = lambda *_: self.events.put("subscribed")
        self.client.on_disconnect = lambda *_: self.events.put("disconnected")
        self.client.connect("127.0.0.1", port)
        self.client.loop_start()

    def __enter__(self) -> Self:
        assert self.event() == "connected"
        filters = ("notify", "get/+", "+/get/+", "+/update/+")
        self.client.subscribe([(self.base + part, 1) for part in filters])
        assert self.event() == "subscribed"
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self.client)

    def event(self) -> str:
        """What happened to the connection next."""
        return self.events.get(timeout=PATIENCE)

    def ask(self, topic: str, timeout: float = PATIENCE, **payload: object) -> Any:
        """Publish a request and return the payload of its acceptance.

        :raises queue.Empty: if nothing is heard for so many seconds.
        """
        self.client.publish(self.base + topic, json.dumps(payload), 1)
        while True:
            heard, answer = self.heard.get(timeout=timeout)
            if heard.startswith(topic + "/"):
                assert heard == topic + "/accepted", answer
                return answer
