"""Reads the requests that a device sends to the local AWS, as strictly as the scripted cloud."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.support.waiting import PATIENCE
from upparat.local.watch import hang_up

from .rules import parse_topic, read_object, request_breaches
from .shadow import PackageShadow


class Inspector:
    """Listens while it is a context. ``requests`` counts what it has read, ``breaches`` is what AWS
    would have refused of it.

    It connects without a certificate, which the local AWS allows and the real one does not.
    """

    def __init__(self, port: int, cafile: Path, thing: str) -> None:
        self.requests = 0
        self.breaches: list[str] = []
        self._port = port
        self._filters = [f"$aws/things/{thing}/{part}/#" for part in ("jobs", "shadow")]
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, f"judge-{thing}")
        self._client.tls_set(ca_certs=str(cafile))
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received

    def __enter__(self) -> Self:
        self._client.connect("127.0.0.1", self._port)
        self._client.loop_start()
        assert self._ready.wait(PATIENCE)
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def _connected(self, *_: object) -> None:
        self._client.subscribe([(each, 1) for each in self._filters])

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _received(self, client: object, data: object, message: Any) -> None:
        target = parse_topic(message.topic)
        if target is None:
            return  # an answer, or a notification
        self.requests += 1
        payload = bytes(message.payload)
        try:
            body = read_object(payload)
            if target.operation == "shadow":
                self.breaches += PackageShadow(target.thing).breaches(payload, body)
            else:
                self.breaches += request_breaches(target, body)
        except ValueError as problem:
            self.breaches.append(f"{message.topic}: {problem}")
