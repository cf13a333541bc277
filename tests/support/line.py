"""A connection to the broker that a test scripts, and answers to what was published on it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from twisted.internet.defer import Deferred

from upparat.mqtt.session import MqttSession, MqttSessionEvents


@dataclass(frozen=True)
class Published:
    """A request as the broker sees it."""

    topic: str
    payload: dict[str, Any]

    @property
    def token(self) -> str:
        token = self.payload["clientToken"]
        assert isinstance(token, str)
        assert 1 <= len(token) <= 64
        return token

    @property
    def body(self) -> dict[str, Any]:
        """The payload without its token."""
        return {name: value for name, value in self.payload.items() if name != "clientToken"}


class FakeLine:
    """Keeps what is published while it is ``connected``, what is subscribed to, and the reasons
    of those who gave the connection up."""

    events: MqttSessionEvents

    def __init__(self, *, connected: bool = False) -> None:
        self.connected = connected
        self.published: list[Published] = []
        self.subscribing: list[tuple[Sequence[str], Deferred[None]]] = []
        self.given_up: list[str] = []

    # --- what an adapter calls ---

    def publish(self, topic: str, payload: bytes) -> bool:
        if self.connected:
            self.published.append(Published(topic, json.loads(payload)))
        return self.connected

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        granted: Deferred[None] = Deferred()
        self.subscribing.append((filters, granted))
        return granted

    def disconnect_and_retry(self, reason: str) -> None:
        self.given_up.append(reason)

    # --- what a test calls ---

    def connect(self) -> None:
        self.connected = True
        self.events.connected()

    def grant(self) -> None:
        """Response the last SUBSCRIBE."""
        self.subscribing[-1][1].callback(None)

    def lose(self) -> None:
        self.connected = False
        self.events.disconnected("cut")

    def taken(self) -> list[Published]:
        """What was published since the last time."""
        taken, self.published[:] = list(self.published), []
        return taken

    def one(self) -> Published:
        """The only thing that was published since the last time."""
        (published,) = self.taken()
        return published

    def accept(self, request: Published, **answer: object) -> None:
        self._answer(request, "accepted", answer)

    def reject(self, request: Published, code: str, **answer: object) -> None:
        self._answer(request, "rejected", {"code": code, "message": "why", **answer})

    def _answer(self, request: Published, verdict: str, answer: dict[str, object]) -> None:
        payload = {"clientToken": request.token, "timestamp": 1, **answer}
        self.events.received(f"{request.topic}/{verdict}", json.dumps(payload).encode())


def _is_a_line(line: FakeLine) -> MqttSession:
    return line
