"""The fanout: each listener hears everything, in order."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.mqtt.fanout import SessionFanout


class Ear:
    def __init__(self, name: str, heard: list[tuple[Any, ...]]) -> None:
        self._name, self._heard = name, heard

    def connected(self) -> None:
        self._heard.append((self._name, "connected"))

    def disconnected(self, reason: str) -> None:
        self._heard.append((self._name, "disconnected", reason))

    def received(self, topic: str, payload: bytes) -> None:
        self._heard.append((self._name, "received", topic, payload))


class FanoutTests(SynchronousTestCase):
    def test_all_in_order(self) -> None:
        heard: list[tuple[Any, ...]] = []
        fanout = SessionFanout([Ear("a", heard), Ear("b", heard)])
        fanout.connected()
        fanout.received("t", b"1")
        fanout.disconnected("cut")
        said: list[tuple[Any, ...]] = [
            ("connected",),
            ("received", "t", b"1"),
            ("disconnected", "cut"),
        ]
        self.assertEqual(heard, [(name, *each) for each in said for name in "ab"])
