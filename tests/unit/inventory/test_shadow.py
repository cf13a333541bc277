"""The shadow: one update at a time, on a session that comes and goes."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.iotjobs.session import FakeSession
from upparat.inventory.shadow import (
    MAX_LOST,
    NOT_SUBSCRIBED,
    PAUSE,
    SUBACK_TIMEOUT,
    Shadow,
    response_topics,
    update_topic,
)
from upparat.iotjobs.requests import Response
from upparat.mqtt.session import SubscribeError

TOPIC = "$aws/things/T/shadow/name/$package/update"


class ShadowTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.session = FakeSession()
        self.shadow = self.session.events = Shadow(self.clock, self.session, "T", lambda: 0.5)
        self.session.connect()

    def update(self, *, granted: bool = True) -> Deferred[Response]:
        update = self.shadow.update({"state": {}})
        if granted:
            self.session.grant()
        return update

    def lose(self) -> None:
        self.session.lose()
        self.session.connect()

    def test_topics(self) -> None:
        self.assertEqual(update_topic("T"), TOPIC)
        self.assertEqual(response_topics("T"), (f"{TOPIC}/accepted", f"{TOPIC}/rejected"))

    def test_accepted(self) -> None:
        update = self.update(granted=False)
        self.assertEqual(self.session.taken(), [])
        self.session.grant()
        request = self.session.one()
        self.assertEqual((request.topic, request.body), (TOPIC, {"state": {}}))
        self.session.accept(request, version=3)
        response = self.successResultOf(update)
        self.assertEqual((response.accepted, response.payload["version"]), (True, 3))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_the_code_of_a_refusal_is_a_number(self) -> None:
        update = self.update()
        request = self.session.one()
        payload = b'{"code": 413, "message": "why", "clientToken": "%s"}' % request.token.encode()
        self.session.events.received(f"{TOPIC}/rejected", payload)
        self.assertEqual(self.successResultOf(update).code, "413")

    def test_answers_that_cannot_be_read(self) -> None:
        update = self.update()
        for seconds in (10, 20, 0):
            self.session.events.received(f"{TOPIC}/accepted", b"{")
            self.clock.advance(seconds)
        self.assertEqual(self.successResultOf(update).code, "Unreadable")

    def test_messages_for_others(self) -> None:
        with capturedLogs() as events:
            for topic in (f"{TOPIC}/documents", "$aws/things/T/jobs/notify", "x"):
                self.session.events.received(topic, b"{")
        self.assertEqual(events, [])

    def test_one_subscription_for_each_connection(self) -> None:
        for count in (1, 2):
            for _ in range(2):
                update = self.shadow.update({})
                if not self.session.subscribing[-1][1].called:
                    self.session.grant()
                self.session.accept(self.session.one())
                self.successResultOf(update)
            self.assertEqual(len(self.session.subscribing), count)
            self.lose()

    def test_no_subscription(self) -> None:
        update = self.update(granted=False)
        self.session.subscribing[-1][1].errback(SubscribeError("the broker refuses it"))
        response = self.successResultOf(update)
        self.assertEqual(
            (response.code, response.payload["message"]), (NOT_SUBSCRIBED, "the broker refuses it")
        )

    def test_no_suback(self) -> None:
        update = self.update(granted=False)
        self.clock.advance(SUBACK_TIMEOUT)
        self.assertEqual(self.successResultOf(update).code, NOT_SUBSCRIBED)

    def test_a_connection_that_is_lost_cancels_the_update(self) -> None:
        for granted in (False, True):
            update = self.update(granted=granted)
            self.lose()
            self.failureResultOf(update, CancelledError)
            self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.taken()
        self.lose()
        self.assertEqual(self.session.taken(), [])

    def test_a_connection_that_is_lost_again_and_again(self) -> None:
        for _ in range(MAX_LOST):
            self.assertTrue(self.shadow.usable)
            self.update().addErrback(lambda failure: failure.trap(CancelledError) and None)
            self.lose()
        self.assertFalse(self.shadow.usable)
        self.clock.advance(PAUSE)
        self.assertTrue(self.shadow.usable)

    def test_without_a_connection(self) -> None:
        self.session.lose()
        self.assertFalse(self.shadow.usable)

    def test_close(self) -> None:
        for granted in (False, True):
            update = self.update(granted=granted)
            self.shadow.close()
            self.failureResultOf(update, CancelledError)
        self.shadow.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])
