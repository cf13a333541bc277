"""The contract between the connection to the broker and its user, both halves."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from twisted.internet.defer import Deferred


class SubscribeError(Exception):
    """The broker refused a subscription, or the connection was lost before it was granted."""


class MqttSession(Protocol):
    """Sends messages and subscribes; a session ends with its connection."""

    @property
    def connected(self) -> bool:
        """Whether CONNACK has come and the connection stands."""

    def publish(self, topic: str, payload: bytes) -> bool:
        """Send a message with QoS 1, not retained.

        The message may still be lost with the connection, so repeat it until it is answered.

        :returns: ``False`` if the message was dropped because there is no connection.
        :raises ValueError: if the topic is not valid, or the payload is above 256 MiB.
        """

    def subscribe(self, filters: Sequence[str]) -> Deferred[None]:
        """Subscribe with QoS 1.

        The Deferred fires when the broker has granted every filter. It fails with
        :class:`SubscribeError` otherwise.

        :raises ValueError: if a filter is not valid.
        """

    def disconnect_and_retry(self, reason: str) -> None:
        """Close this connection, and open another after a back-off."""


class MqttSessionEvents(Protocol):
    """Receives what happens to a session."""

    def connected(self) -> None:
        """CONNACK has accepted the client; nothing is subscribed yet."""

    def disconnected(self, reason: str) -> None:
        """A connection that was reported as connected is gone. Called once for each."""

    def received(self, topic: str, payload: bytes) -> None:
        """A message has come; the same one may come twice."""
