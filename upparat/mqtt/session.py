"""The contract between the connection to the broker and its user, both halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred


class MqttSession(Protocol):
    """Sends messages and subscribes; a session ends with its connection."""

    @property
    def connected(self) -> bool:
        """Whether CONNACK has come and the connection stands."""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send with QoS 1; ``False`` where there is no connection."""

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        """Fires when the broker has granted all of them, fails otherwise."""

    def disconnect_and_retry(self, reason: str) -> None:
        """Give this connection up for a new one."""


class MqttSessionEvents(Protocol):
    """Reports what happens to a session."""

    def connected(self) -> None:
        """CONNACK has accepted the client; nothing is subscribed yet."""

    def disconnected(self, reason: str) -> None:
        """A connection that was reported as connected is gone: once for each."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message has come; it may come twice."""
