"""Subscriptions, and what the broker answers to them."""

from __future__ import annotations

from unittest.mock import patch

from paho.mqtt import client as paho_client
from twisted.internet.defer import Deferred

from tests.support import rawbroker as wire
from tests.unit.mqtt.bench import MqttTestCase
from upparat.mqtt.session import SubscribeError


class SubscribeTests(MqttTestCase):
    names = tuple(f"topic/{number}" for number in range(12))

    def setUp(self) -> None:
        super().setUp()
        self.connect()

    def subscribe(self, *names: str) -> tuple[Deferred[None], list[bytes]]:
        """Subscribe; what comes of it, and the requests that the broker sees."""
        result = self.service.subscribe(names)
        packets = self.packets()
        self.assertEqual({first for first, _ in packets} - {wire.SUBSCRIBE | 0x02}, set())
        return result, [rest for _, rest in packets]

    def test_granted(self) -> None:
        result, (request,) = self.subscribe("one", "two")
        self.assertEqual(wire.filters(request), [("one", 1), ("two", 1)])
        self.assertNoResult(result)
        self.send(wire.suback(request))
        self.assertIsNone(self.successResultOf(result))

    def test_eight_at_most(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.assertEqual([len(wire.filters(request)) for request in (first, second)], [8, 4])
        asked = wire.filters(first) + wire.filters(second)
        self.assertEqual(asked, [(name, 1) for name in self.names])
        self.send(wire.suback(second))
        self.assertNoResult(result)
        self.send(wire.suback(first))
        self.successResultOf(result)

    def test_nothing(self) -> None:
        result, requests = self.subscribe()
        self.successResultOf(result)
        self.assertEqual(requests, [])

    def test_one_is_refused(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.send(wire.suback(first, [1, 0x80, 1, 1, 1, 1, 1, 1]))
        failure = self.failureResultOf(result, SubscribeError)
        self.assertEqual(str(failure.value), "the broker refuses topic/1")
        self.send(wire.suback(second))

    def test_both_are_refused(self) -> None:
        result, (first, second) = self.subscribe(*self.names)
        self.send(wire.suback(first, [0x80] * 8), wire.suback(second, [0x80] * 4))
        self.failureResultOf(result, SubscribeError)

    def test_odd_answer(self) -> None:
        result, (request,) = self.subscribe("one", "two")
        self.send(wire.suback(request, [1]))
        self.failureResultOf(result, SubscribeError)

    def test_answer_to_nothing(self) -> None:
        self.send(wire.suback(b"\0\x63" + wire.text("one") + b"\1"))
        self.assertTrue(self.service.connected)

    def test_connection_lost(self) -> None:
        """The owner's answer to a failed subscription does no harm to the next connection."""
        result, _ = self.subscribe(*self.names)
        result.addErrback(lambda failure: self.service.disconnect_and_retry(str(failure.value)))
        self.break_connection()
        self.assertIsNone(self.successResultOf(result))
        self.assertEqual(self.told(), [("disconnected", "the broker closed the connection")])
        self.clock.advance(1.0)
        self.accept()

    def test_stopped(self) -> None:
        result, _ = self.subscribe("one")
        self.service.stopService()
        self.break_connection()
        self.failureResultOf(result, SubscribeError)

    def test_cancelled(self) -> None:
        result, (request,) = self.subscribe("one")
        result.cancel()
        self.failureResultOf(result)
        self.send(wire.suback(request))
        self.assertTrue(self.service.connected)

    def test_while_paho_has_lost_the_socket(self) -> None:
        with patch.object(paho_client.Client, "subscribe", return_value=(4, None)):
            self.failureResultOf(self.service.subscribe(["one"]), SubscribeError)
