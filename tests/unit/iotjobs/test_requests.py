"""Requests and their answers: tokens, repetition, and a session that comes and goes."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.iotjobs.session import FakeSession, Published
from upparat.iotjobs.requests import ATTEMPTS_PER_CONNECTION, Requests, Response


class RequestsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.session = FakeSession(connected=True)
        self.random = 0.5
        self.requests = Requests(self.clock, self.session, lambda: self.random)
        self.answers: list[Response] = []
        self.cancelled: list[Failure] = []

    def ask(self, topic: str = "t/get", **payload: object) -> Deferred[Response]:
        asked = self.requests.send(topic, payload)
        asked.addCallbacks(self.answers.append, self.cancelled.append)
        return asked

    def send(self, topic: str = "t/get", **payload: object) -> Published:
        self.ask(topic, **payload)
        return self.session.published[-1]

    def ready(self) -> None:
        self.requests.session_ready()

    def answer(self, request: Published, *, accepted: bool = True, **payload: object) -> None:
        self.requests.answered(request.topic, accepted, {"clientToken": request.token, **payload})

    def reject(self, request: Published, code: object) -> None:
        self.answer(request, accepted=False, code=code)

    def quiet(self) -> None:
        """Nothing waits, nothing is on the clock."""
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ready()
        self.assertEqual(self.session.taken(), [])

    # --- answers that make no sense ---

    def test_an_answer_that_cannot_be_read_is_none(self) -> None:
        self.ready()
        self.send()
        self.requests.unreadable("t/get")
        self.requests.unreadable("t/other")
        self.assertEqual(self.answers, [])

    def test_but_again_and_again_it_is_one(self) -> None:
        self.ready()
        self.send()
        self.clock.advance(10)
        self.requests.unreadable("t/get")
        self.assertEqual(self.answers, [])
        self.clock.advance(20)
        self.requests.unreadable("t/get")
        self.assertEqual([answer.code for answer in self.answers], ["Unreadable"])

    # --- answers ---

    def test_accepted(self) -> None:
        self.ready()
        request = self.send("t/x/update", status="IN_PROGRESS")
        self.assertEqual(request.topic, "t/x/update")
        self.assertEqual(request.body, {"status": "IN_PROGRESS"})
        self.answer(request, more=1)
        (answer,) = self.answers
        self.assertTrue(answer.accepted)
        self.assertEqual(answer.code, "")
        self.assertEqual(answer.payload["more"], 1)
        self.session.taken()
        self.quiet()

    def test_rejected(self) -> None:
        self.ready()
        self.reject(self.send(), "ResourceNotFound")
        (answer,) = self.answers
        self.assertFalse(answer.accepted)
        self.assertEqual(answer.code, "ResourceNotFound")
        self.session.taken()
        self.quiet()

    def test_rejected_without_a_code_that_makes_sense(self) -> None:
        self.ready()
        for code in (None, "", 7, ["InternalError"]):
            self.reject(self.send(), code)
        self.assertEqual([answer.code for answer in self.answers], ["unknown"] * 4)

    def test_each_request_has_its_own_token(self) -> None:
        self.ready()
        first, second = self.send(n=1), self.send(n=2)
        self.assertNotEqual(first.token, second.token)
        self.answer(second, of="second")
        self.assertEqual([answer.payload["of"] for answer in self.answers], ["second"])
        self.answer(first, of="first")
        self.assertEqual([answer.payload["of"] for answer in self.answers], ["second", "first"])

    def test_an_answer_counts_once(self) -> None:
        self.ready()
        request = self.send()
        self.answer(request)
        self.answer(request)
        self.reject(request, "InternalError")
        self.assertEqual(len(self.answers), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_answers_to_others(self) -> None:
        self.ready()
        request = self.send()
        for token in ("another", "", None, 5, ["x"]):
            self.requests.answered(request.topic, True, {"clientToken": token})
        self.requests.answered(request.topic, True, {})
        self.requests.answered(request.topic, False, {"clientToken": "another", "code": "x"})
        self.assertEqual(self.answers, [])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_our_token_on_another_topic(self) -> None:
        self.ready()
        request = self.send("t/a/get")
        self.requests.answered("t/b/get", True, {"clientToken": request.token})
        self.assertEqual(self.answers, [])

    def test_rejected_without_a_token(self) -> None:
        """AWS cannot echo the token of what it could not read."""
        self.ready()
        self.send("t/a/update")
        self.send("t/b/update")
        self.requests.answered("t/b/update", False, {"code": "InvalidJson"})
        self.assertEqual([answer.code for answer in self.answers], ["InvalidJson"])
        self.requests.answered("t/b/update", False, {"code": "InvalidJson"})
        self.assertEqual(len(self.answers), 1)

    def test_rejected_without_a_token_where_several_wait(self) -> None:
        self.ready()
        self.send("t/a/get")
        self.send("t/a/get")
        self.requests.answered("t/a/get", False, {"code": "InvalidJson"})
        self.assertEqual(self.answers, [])

    # --- repetition ---

    def test_silence(self) -> None:
        self.ready()
        request = self.send(a=1)
        self.session.taken()
        for delay in (10, 20, 40, 80, 120, 120):
            self.clock.advance(delay - 0.1)
            self.assertEqual(self.session.taken(), [])
            self.clock.advance(0.1)
            self.assertEqual(self.session.taken(), [request], delay)
        self.answer(request)
        self.assertEqual(len(self.answers), 1)
        self.quiet()

    def test_silence_for_too_long(self) -> None:
        """The connection is given up, and the request goes out on the next one."""
        self.ready()
        request = self.send()
        for _ in range(2):
            self.clock.pump([120] * (ATTEMPTS_PER_CONNECTION - 1))
            self.assertEqual(self.session.taken(), [request] * ATTEMPTS_PER_CONNECTION)
            self.assertEqual(self.session.given_up, [])
            self.clock.advance(120)
            self.assertEqual(self.session.taken(), [])
            self.assertEqual(self.session.given_up, ["no answer on t/get"])
            self.session.given_up.clear()
            self.requests.session_lost()
            self.ready()
        self.answer(request)
        self.assertEqual(len(self.answers), 1)

    def test_silence_with_jitter(self) -> None:
        self.ready()
        for self.random, delay in ((0.0, 7.5), (1.0, 12.5)):
            self.requests.close()
            self.send()
            (call,) = self.clock.getDelayedCalls()
            self.assertEqual(call.getTime(), delay)

    def test_refused_for_the_moment(self) -> None:
        self.ready()
        request = self.send()
        self.session.taken()
        for code, delay in (
            ("RequestThrottled", 2),
            ("InternalError", 3),
            ("RequestThrottled", 5),
            ("RequestThrottled", 9),
            ("RequestThrottled", 17),
            ("RequestThrottled", 33),
            ("RequestThrottled", 33),
        ):
            self.reject(request, code)
            (call,) = self.clock.getDelayedCalls()
            self.assertEqual(call.getTime() - self.clock.seconds(), delay)
            self.clock.advance(delay)
            self.assertEqual(self.session.taken(), [request])
        self.assertEqual(self.answers, [])
        self.answer(request)
        self.assertEqual(len(self.answers), 1)
        self.quiet()

    def test_refused_for_the_moment_waits_at_least_a_second(self) -> None:
        self.ready()
        self.random = 0.0
        self.reject(self.send(), "RequestThrottled")
        (call,) = self.clock.getDelayedCalls()
        self.assertEqual(call.getTime(), 1.0)

    def test_refused_for_the_moment_without_a_token(self) -> None:
        self.ready()
        request = self.send()
        self.requests.answered(request.topic, False, {"code": "InternalError"})
        self.clock.advance(2)
        self.assertEqual(self.session.taken(), [request, request])

    # --- the session ---

    def test_a_limit_to_the_attempts(self) -> None:
        self.ready()
        asked = self.requests.send("t/get", {}, 3).addCallback(self.answers.append)
        request = self.session.published[-1]
        for _ in range(2):
            self.reject(request, "InternalError")
            self.clock.advance(100)
        self.assertEqual(self.answers, [])
        self.reject(request, "InternalError")
        self.assertEqual([answer.code for answer in self.answers], ["InternalError"])
        self.assertTrue(asked.called)
        self.session.taken()
        self.quiet()

    def test_a_limit_to_silence(self) -> None:
        self.ready()
        self.requests.send("t/get", {}, 3).addCallback(self.answers.append)
        self.clock.pump([10, 20])
        self.assertEqual(self.answers, [])
        self.clock.advance(40)
        self.assertEqual([answer.code for answer in self.answers], ["NoResponse"])
        self.session.taken()
        self.quiet()

    def test_nothing_is_sent_until_the_session_is_ready(self) -> None:
        self.ask(a=1)
        self.assertFalse(self.requests.ready)
        self.assertEqual(self.session.taken(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.ready()
        self.assertTrue(self.requests.ready)
        self.answer(self.session.one())
        self.assertEqual(len(self.answers), 1)

    def test_a_session_that_goes_and_comes(self) -> None:
        self.ready()
        first, second = self.send(n=1), self.send(n=2)
        self.reject(second, "RequestThrottled")
        self.session.taken()
        self.requests.session_lost()
        self.assertFalse(self.requests.ready)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.clock.advance(1000)
        self.assertEqual(self.session.taken(), [])
        self.ready()
        self.assertEqual(self.session.taken(), [first, second])
        self.assertEqual(len(self.clock.getDelayedCalls()), 2)

    def test_up_twice(self) -> None:
        self.ready()
        request = self.send()
        self.ready()
        self.assertEqual(self.session.taken(), [request, request])
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_a_session_that_is_gone_unnoticed(self) -> None:
        self.ready()
        self.session.connected = False
        self.ask()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.connected = True
        self.ready()
        self.answer(self.session.one())
        self.assertEqual(len(self.answers), 1)

    # --- the end ---

    def test_forgotten(self) -> None:
        self.ready()
        asked = self.ask()
        request = self.session.one()
        asked.cancel()
        asked.cancel()
        self.answer(request)
        self.assertEqual(self.answers, [])
        self.assertEqual([failure.type for failure in self.cancelled], [CancelledError])
        self.quiet()

    def test_forgotten_once_answered(self) -> None:
        self.ready()
        asked = self.ask()
        self.answer(self.session.one())
        asked.cancel()
        self.assertEqual((len(self.answers), self.cancelled), (1, []))
        self.quiet()

    def test_close(self) -> None:
        self.ready()
        waiting, throttled = self.send(), self.send()
        self.reject(throttled, "RequestThrottled")
        self.session.taken()
        self.requests.close()
        self.answer(waiting)
        self.assertEqual(self.answers, [])
        self.assertEqual([failure.type for failure in self.cancelled], [CancelledError] * 2)
        self.quiet()

    def test_the_payload_does_not_show(self) -> None:
        self.ready()
        request = self.send(statusDetails="secret")
        self.assertNotIn("secret", repr(self.requests._pending[request.token]))
