"""An MQTT session that a test scripts, and the responses to its requests."""

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


class FakeSession:
    """Keeps what the wing under test has asked for.

    :ivar published: the messages that were published while ``connected``.
    :ivar subscribing: the filters of each subscription, and its Deferred.
    :ivar given_up: the reasons given to ``disconnect_and_retry``.
    """

    events: MqttSessionEvents

    def __init__(self, *, connected: bool = False) -> None:
        self.connected = connected
        self.published: list[Published] = []
        self.subscribing: list[tuple[Sequence[str], Deferred[None]]] = []
        self.given_up: list[str] = []

    # --- MqttSession ---

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

    # --- for the test ---

    def connect(self) -> None:
        self.connected = True
        self.events.connected()

    def grant(self) -> None:
        """Answer the last SUBSCRIBE."""
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


def _is_a_session(session: FakeSession) -> MqttSession:
    return session
