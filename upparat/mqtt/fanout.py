"""Hands what happens to a session to several users."""

from __future__ import annotations

from collections.abc import Sequence

from .session import MqttSessionEvents


class SessionFanout:
    """Tells each of some listeners, in their order. One that raises keeps it from those behind it,
    so the one that matters most comes first."""

    def __init__(self, listeners: Sequence[MqttSessionEvents]) -> None:
        self._listeners = listeners

    def connected(self) -> None:
        for listener in self._listeners:
            listener.connected()

    def disconnected(self, reason: str) -> None:
        for listener in self._listeners:
            listener.disconnected(reason)

    def received(self, topic: str, payload: bytes) -> None:
        for listener in self._listeners:
            listener.received(topic, payload)


def _is_listener(fanout: SessionFanout) -> MqttSessionEvents:
    return fanout
