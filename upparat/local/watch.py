"""Listens at the broker of the local AWS for the updates that devices publish."""

from __future__ import annotations

import contextlib
import json
import queue
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Self

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from .loopback import HOST
from .ministack import LocalAwsError


@dataclass(frozen=True)
class Update:
    """A status that a device has sent. AWS may still refuse it."""

    job_id: str
    status: str
    details: Mapping[str, str]
    time: datetime = field(default_factory=datetime.now, compare=False)

    @property
    def state(self) -> str:
        return self.details.get("state", "")

    @property
    def message(self) -> str:
        return self.details.get("message", "")


PATIENCE = 60.0
"""Seconds that a connection may take. The first is slow: the local AWS makes a certificate."""


class Watcher:
    """Collects the updates of one thing's jobs inside of the ``with`` block.

    It connects without a certificate, which the local AWS allows and the real one does not.
    """

    def __init__(self, mqtt_port: int, cafile: Path, thing_name: str) -> None:
        self._port = mqtt_port
        self._base = f"$aws/things/{thing_name}/jobs/"
        self._updates: queue.SimpleQueue[Update] = queue.SimpleQueue()
        self._ready = threading.Event()
        self._client = Client(CallbackAPIVersion.VERSION2, f"watch-{thing_name}")
        self._client.connect_timeout = PATIENCE
        self._client.tls_set(ca_certs=str(cafile))
        self._client.on_connect = self._connected
        self._client.on_subscribe = self._subscribed
        self._client.on_message = self._received

    def __enter__(self) -> Self:
        self._client.connect(HOST, self._port)
        self._client.loop_start()
        if not self._ready.wait(PATIENCE):
            self.__exit__()
            raise LocalAwsError("the local AWS does not let us watch its jobs")
        return self

    def __exit__(self, *_: object) -> None:
        hang_up(self._client)

    def updates(self, timeout: float = 0.0) -> Iterator[Update]:
        """Yield the updates since the last call. Waits up to ``timeout`` seconds for the first."""
        try:
            yield self._updates.get(timeout=timeout) if timeout else self._updates.get_nowait()
            while True:
                yield self._updates.get_nowait()
        except queue.Empty:
            return

    # --- on paho's thread ---

    def _connected(self, *_: object) -> None:
        self._client.subscribe(f"{self._base}+/update", qos=1)

    def _subscribed(self, *_: object) -> None:
        self._ready.set()

    def _received(self, client: object, data: object, message: Any) -> None:
        job_id = str(message.topic).removeprefix(self._base).partition("/")[0]
        with contextlib.suppress(ValueError, KeyError, TypeError):  # AWS refuses such an update
            payload = json.loads(message.payload)
            self._updates.put(Update(job_id, payload["status"], payload.get("statusDetails", {})))


def hang_up(client: Client) -> None:
    """Disconnect a client that has a thread, and wait for the thread's end."""
    client.disconnect()
    # The thread may end between paho's look at it and its join: paho has forgotten it then.
    with contextlib.suppress(AttributeError):
        client.loop_stop()
