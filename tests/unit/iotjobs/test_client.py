"""The jobs client: its questions, when it asks them, and its events for each answer."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON, RELAXED, objects
from tests.support.ports import execution, key
from tests.unit.iotjobs.session import FakeSession, Published
from tests.unit.iotjobs.undelivered import FakeUndelivered
from upparat.iotjobs.client import (
    MAX_DESCRIBE_ATTEMPTS,
    NO_VERSION,
    SUBACK_TIMEOUT,
    JobsClient,
)
from upparat.iotjobs.reports import (
    MAX_REJECTIONS,
    NOT_FOUND_RETRY_INTERVAL,
    REJECTED_RETRY_INTERVAL,
)
from upparat.iotjobs.requests import RESPONSE_TIMEOUT, TEMPORARY_RETRY
from upparat.job import ExecutionKey, JobExecution, JobExecutionSummary, Report, State, Status
from upparat.mqtt.session import SubscribeError
from upparat.ports import JobsEvents

BASE = "$aws/things/T/jobs/"
START = Report(State.DOWNLOAD_START)
DONE = Report(State.COMPLETE_READY)


def summary(job_id: str = "a", queued_at: int = 100, number: int = 1) -> dict[str, Any]:
    """An entry of a list, as AWS sends it."""
    return {
        "jobId": job_id,
        "queuedAt": queued_at,
        "lastUpdatedAt": queued_at,
        "executionNumber": number,
        "versionNumber": 1,
    }


def begun(job_id: str = "a") -> JobExecution:
    """An execution of which AWS has heard."""
    return replace(execution(job_id, Status.IN_PROGRESS), version_number=2)


def answer(job_id: str = "a", status: str = "IN_PROGRESS", **changes: object) -> dict[str, Any]:
    """The answer to a describe, as AWS sends it."""
    return {"execution": {**summary(job_id), "status": status, **changes}}


def lists(in_progress: Sequence[Any] = (), queued: Sequence[Any] = ()) -> dict[str, Any]:
    """The answer to a get, as AWS sends it."""
    return {"inProgressJobs": list(in_progress), "queuedJobs": list(queued)}


class Listener:
    """Hears what the client tells; ``told`` is one list in order."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def changed(self) -> None:
        self.told.append(("changed",))

    def pending(
        self, in_progress: Sequence[JobExecutionSummary], queued: Sequence[JobExecutionSummary]
    ) -> None:
        self.told.append(("pending", [s.key for s in in_progress], [s.key for s in queued]))

    def described(self, execution: JobExecution) -> None:
        self.told.append(("described", execution))

    def describe_failed(self, job_id: str, ended: bool) -> None:
        self.told.append(("vanished", job_id, ended))

    def delivered(self, state: State) -> None:
        self.told.append(("delivered", state.value))

    def undeliverable(self, state: State) -> None:
        self.told.append(("undeliverable", state.value))

    def cancelled(self) -> None:
        self.told.append(("cancelled",))


def _hears(listener: Listener) -> JobsEvents:
    return listener


class JobsBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.session = FakeSession()
        self.random = 0.5
        self.listener = Listener()
        undelivered = FakeUndelivered([])
        self.jobs = JobsClient(
            self.clock, self.session, "T", undelivered, random=lambda: self.random
        )
        self.jobs.events = self.listener
        self.session.events = self.jobs

    def online(self) -> None:
        self.session.connect()
        self.session.grant()
        self.taken()

    def following(self, followed: JobExecution | None = None) -> None:
        self.online()
        self.jobs.follow(followed or execution(status=Status.IN_PROGRESS))

    def taken(self) -> list[tuple[Any, ...]]:
        """What was told since the last time."""
        told = self.listener.told
        taken, told[:] = list(told), []
        return taken

    def asked(self) -> list[str]:
        """The topics of what was asked since the last time, without the base."""
        return [request.topic.removeprefix(BASE) for request in self.session.taken()]

    def request(self, topic: str) -> Published:
        """The only request since the last time, to this topic."""
        request = self.session.one()
        self.assertEqual(request.topic, BASE + topic)
        return request

    def notify(self, *entries: object, kind: str = "QUEUED") -> None:
        jobs = {kind: list(entries)} if entries else {}
        message = {"timestamp": 1, "jobs": jobs}
        self.jobs.received(BASE + "notify", json.dumps(message).encode())

    def at_rest(self) -> None:
        """Closed, nothing is left on the clock, and what still comes is not told."""
        self.jobs.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class ConnectionTests(JobsBench):
    def test_subscribes_then_asks(self) -> None:
        self.jobs.fetch()
        self.session.connect()
        ((filters, _),) = self.session.subscribing
        expected = ("notify", "get/+", "+/get/+", "+/update/+")
        self.assertEqual(filters, tuple(BASE + part for part in expected))
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.taken(), [])
        self.session.grant()
        self.assertEqual(self.asked(), ["get"])
        self.assertEqual(self.taken(), [])

    def test_a_connection_may_have_brought_changes(self) -> None:
        self.session.connect()
        self.assertEqual(self.taken(), [])
        self.session.grant()
        self.assertEqual(self.taken(), [("changed",)])

    def test_check_now(self) -> None:
        self.assertFalse(self.jobs.check_now())
        self.session.connect()
        self.assertFalse(self.jobs.check_now())
        self.session.grant()
        self.taken()
        self.assertTrue(self.jobs.check_now())
        self.assertEqual(self.taken(), [("changed",)])
        self.session.lose()
        self.assertFalse(self.jobs.check_now())

    def test_check_now_looks_for_the_execution_in_hand(self) -> None:
        self.following()
        self.jobs.check_now()
        self.assertEqual(self.asked(), ["a/get"])

    def test_refused_to_subscribe(self) -> None:
        self.jobs.fetch()
        self.session.connect()
        self.session.subscribing[-1][1].errback(SubscribeError("no, no"))
        self.assertEqual(self.session.given_up, ["subscribing failed: no, no"])
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.asked(), [])
        self.session.lose()
        self.online()
        self.assertEqual(self.asked(), ["get"])

    def test_everything_is_asked_again_after_a_reconnection(self) -> None:
        self.following()
        self.jobs.describe("b")
        self.jobs.report(execution(), START)
        self.assertEqual(self.asked(), ["b/get", "a/update"])
        self.session.lose()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.connect()
        self.assertEqual(self.asked(), [])
        self.session.grant()
        self.assertEqual(self.asked(), ["b/get", "a/update", "a/get"])
        self.assertEqual(self.taken(), [("changed",)])

    def test_what_a_connection_grants_while_it_ends_does_not_count(self) -> None:
        self.jobs.fetch()
        self.session.connect()
        granted = self.session.subscribing[-1][1]
        self.session.lose()
        granted.callback(None)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.session.connect()
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.session.given_up, [])

    def test_a_broker_that_grants_nothing_is_left(self) -> None:
        self.session.connect()
        self.clock.advance(SUBACK_TIMEOUT)
        self.assertEqual(len(self.session.given_up), 1)

    def test_granted_after_the_end(self) -> None:
        self.session.connect()
        self.jobs.close()
        self.session.grant()
        self.assertEqual(self.taken(), [])
        self.at_rest()

    def test_a_listener_that_fails_is_logged(self) -> None:
        self.listener.changed = lambda: 1 / 0  # type: ignore[assignment,method-assign]
        self.session.connect()
        self.session.grant()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_poll(self) -> None:
        self.online()
        for self.random, delay in ((0.0, 300), (0.999, 150), (0.5, 449.7)):
            self.clock.advance(delay - 0.01)
            self.assertEqual(self.taken(), [])
            self.clock.advance(0.01)
            self.assertEqual(self.taken(), [("changed",)])
            self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_poll_starts_anew_with_the_connection(self) -> None:
        self.online()
        self.clock.advance(299)
        self.session.lose()
        self.clock.advance(1000)
        self.assertEqual(self.taken(), [])
        self.online()
        self.clock.advance(299)
        self.assertEqual(self.taken(), [])
        self.clock.advance(1)
        self.assertEqual(self.taken(), [("changed",)])

    def test_poll_asks_for_the_execution_that_is_followed(self) -> None:
        self.following()
        self.clock.advance(300)
        request = self.request("a/get")
        self.assertEqual(request.body, {"includeJobDocument": False})
        self.session.accept(request, **answer())
        self.assertEqual(self.taken(), [("changed",)])


class PendingTests(JobsBench):
    def test_lists(self) -> None:
        self.online()
        self.jobs.fetch()
        request = self.request("get")
        self.assertEqual(request.body, {})
        in_progress = [summary("a", 5), summary("b", 3), {"nonsense": 1}]
        self.session.accept(request, **lists(in_progress, [summary("c", 1)]))
        self.assertEqual(
            self.taken(),
            [("pending", [key("b", queued_at=3), key("a", queued_at=5)], [key("c", queued_at=1)])],
        )
        self.assertEqual(self.asked(), [])

    def test_empty_lists(self) -> None:
        self.online()
        self.jobs.fetch()
        self.session.accept(self.request("get"), **lists())
        self.assertEqual(self.taken(), [("pending", [], [])])

    def test_the_statuses_are_those_of_the_lists(self) -> None:
        statuses: list[Status] = []
        self.listener.pending = lambda in_progress, queued: statuses.extend(  # type: ignore[method-assign]
            each.status for each in (*in_progress, *queued)
        )
        self.online()
        self.jobs.fetch()
        self.session.accept(self.request("get"), **lists([summary("a")], [summary("b")]))
        self.assertEqual(statuses, [Status.IN_PROGRESS, Status.QUEUED])

    def test_refused_is_not_empty(self) -> None:
        self.online()
        self.jobs.fetch()
        self.session.reject(self.request("get"), "InvalidRequest")
        self.assertEqual(self.taken(), [])
        self.clock.advance(REJECTED_RETRY_INTERVAL - 1)
        self.assertEqual(self.asked(), [])
        self.clock.advance(1)
        self.session.accept(self.request("get"), **lists(queued=[summary()]))
        self.assertIn(("pending", [], [key()]), self.taken())

    def test_a_refused_list_is_asked_for_by_the_next_look_at_everything(self) -> None:
        self.online()
        self.jobs.fetch()
        self.session.reject(self.request("get"), "InvalidRequest")
        self.session.lose()
        self.online()
        self.clock.advance(0)
        self.session.accept(self.request("get"), **lists(queued=[summary()]))
        self.assertIn(("pending", [], [key()]), self.taken())

    def test_a_lost_answer(self) -> None:
        self.online()
        self.jobs.fetch()
        request = self.request("get")
        self.clock.advance(10)
        self.assertEqual(self.session.one(), request)
        self.session.accept(request, **lists())
        self.session.accept(request, **lists())
        self.assertEqual(self.taken(), [("pending", [], [])])

    def test_one_answer_to_two_fetches_and_it_is_the_later(self) -> None:
        self.online()
        self.jobs.fetch()
        first = self.request("get")
        self.jobs.fetch()
        self.jobs.fetch()
        self.assertEqual(self.asked(), [])
        self.session.accept(first, **lists(queued=[summary("stale")]))
        self.assertEqual(self.taken(), [])
        second = self.request("get")
        self.assertNotEqual(second.token, first.token)
        self.session.accept(second, **lists(queued=[summary("fresh")]))
        self.assertEqual(self.taken(), [("pending", [], [key("fresh")])])
        self.assertEqual(self.asked(), [])

    def test_a_fetch_waits_until_all_reports_are_delivered(self) -> None:
        self.online()
        self.jobs.report(begun("a"), DONE)
        self.jobs.report(begun("b"), DONE)
        self.jobs.fetch()
        self.session.accept(self.request("a/update"))
        self.session.accept(self.request("b/update"))
        self.session.accept(self.request("get"), **lists())
        self.assertEqual(self.taken(), [("pending", [], [])])

    def test_a_list_from_before_a_report_is_dropped(self) -> None:
        self.online()
        self.jobs.fetch()
        stale = self.request("get")
        self.jobs.report(begun("a"), DONE)
        update = self.request("a/update")
        self.session.accept(stale, **lists(queued=[summary("a")]))
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.asked(), [])
        self.session.accept(update)
        self.session.accept(self.request("get"), **lists())
        self.assertEqual(self.taken(), [("pending", [], [])])

    def test_a_notification_while_the_list_is_asked_for(self) -> None:
        """The listener fetches upon it; the list from before is not told."""
        self.listener.changed = self.jobs.fetch  # type: ignore[method-assign]
        self.online()
        first = self.request("get")
        self.notify(summary("b"))
        self.session.accept(first, **lists())
        self.session.accept(self.request("get"), **lists(queued=[summary("b")]))
        self.assertEqual(self.taken(), [("pending", [], [key("b")])])

    def test_a_reconnection_while_the_list_is_asked_for(self) -> None:
        self.online()
        self.jobs.fetch()
        request = self.request("get")
        self.session.lose()
        self.session.connect()
        self.session.grant()
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.session.one(), request)


class DescribeTests(JobsBench):
    def ask(self, job_id: str = "a") -> Published:
        self.jobs.describe(job_id)
        return self.request(f"{job_id}/get")

    def test_described(self) -> None:
        self.online()
        request = self.ask()
        self.assertEqual(request.body, {"includeJobDocument": True})
        details = {"state": "reboot_start", "message": "none"}
        document = {"action": "upparat-update", "n": [1]}
        self.session.accept(
            request, **answer(versionNumber=3, statusDetails=details, jobDocument=document)
        )
        found = JobExecution(key(), Status.IN_PROGRESS, 3, details, document)
        self.assertEqual(self.taken(), [("described", found)])

    def test_described_though_it_has_ended(self) -> None:
        self.online()
        self.session.accept(self.ask(), **answer(status="CANCELED"))
        self.assertEqual(self.taken(), [("described", JobExecution(key(), Status.CANCELED, 1))])

    def test_unknown_once(self) -> None:
        self.online()
        self.session.reject(self.ask(), "ResourceNotFound")
        self.assertEqual(self.taken(), [])
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.session.accept(self.request("a/get"), **answer())
        self.assertEqual(self.taken(), [("described", JobExecution(key(), Status.IN_PROGRESS, 1))])

    def test_unknown_twice(self) -> None:
        self.online()
        for _ in range(2):
            self.session.reject(self.ask(), "ResourceNotFound")
            self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
            self.session.reject(self.request("a/get"), "ResourceNotFound")
            self.assertEqual(self.taken(), [("vanished", "a", True)])

    def over(self) -> Published:
        """AWS says that the execution has ended, and is asked how."""
        self.online()
        self.session.reject(self.ask(), "TerminalStateReached")
        return self.request("a/update")

    def test_how_it_has_ended(self) -> None:
        """An update that AWS is sure to refuse asks for it."""
        request = self.over()
        self.assertEqual(request.payload["expectedVersion"], NO_VERSION)
        self.assertEqual(self.taken(), [])
        details = {"state": "complete_ready"}
        state = {"status": "SUCCEEDED", "versionNumber": 9, "statusDetails": details}
        self.session.reject(request, "VersionMismatch", executionState=state)
        end = JobExecution(ExecutionKey.of_job("a"), Status.SUCCEEDED, 9, details)
        self.assertEqual(self.taken(), [("described", end)])

    def test_aws_does_not_say_how_it_has_ended(self) -> None:
        alive = {"status": "IN_PROGRESS", "versionNumber": 9}
        for code, more in (
            ("ResourceNotFound", {}),
            ("InvalidRequest", {"executionState": "nonsense"}),
            ("VersionMismatch", {"executionState": alive}),
        ):
            self.setUp()
            self.session.reject(self.over(), code, **more)
            self.assertEqual(self.taken(), [("vanished", "a", True)])

    def test_it_is_asked_until_aws_answers(self) -> None:
        """How it has ended decides whether it is taken back."""
        request = self.over()
        for _ in range(2):
            self.session.reject(request, "RequestThrottled")
            self.clock.advance(1 + TEMPORARY_RETRY.cap)
            self.session.taken()
            self.clock.advance(2 * RESPONSE_TIMEOUT.cap)
            request = [each for each in self.session.taken() if "update" in each.topic][-1]
            self.assertNotIn("vanished", [each[0] for each in self.taken()])
        self.session.reject(request, "ResourceNotFound")
        self.assertIn(("vanished", "a", True), self.taken())

    def test_a_question_that_is_refused_says_nothing_of_an_end(self) -> None:
        self.online()
        for code in ("InvalidRequest", "InvalidTopic"):
            self.session.reject(self.ask(), code)
            self.assertEqual(self.taken(), [("vanished", "a", False)])

    def test_answers_that_make_no_sense(self) -> None:
        self.online()
        for nonsense in ({}, {"execution": None}, answer("b"), answer(status="NONSENSE")):
            self.session.accept(self.ask(), **nonsense)
            self.assertEqual(self.taken(), [("vanished", "a", False)], nonsense)

    def test_jobs_that_cannot_be_worked_over_mqtt(self) -> None:
        self.online()
        for job_id in ("get", "start-next", "notify", "notify-next", "a/b", "+", "x" * 65, ""):
            self.jobs.describe(job_id)
            self.assertEqual(self.taken(), [("vanished", job_id, False)])
        self.assertEqual(self.asked(), [])

    def test_a_later_question_takes_the_place_of_an_earlier(self) -> None:
        self.online()
        first, second = self.ask("a"), self.ask("b")
        self.session.accept(first, **answer("a"))
        self.assertEqual(self.taken(), [])
        self.session.reject(second, "ResourceNotFound")
        self.jobs.describe("get")
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.taken(), [("vanished", "get", False)])

    def test_the_version_of_what_is_followed(self) -> None:
        self.following()
        self.session.accept(self.ask(), **answer(versionNumber=8))
        self.jobs.report(execution(), START)
        self.assertEqual(self.request("a/update").payload["expectedVersion"], 8)

    def test_nothing_is_kept_of_what_is_not_followed(self) -> None:
        self.online()
        self.session.accept(self.ask("foreign"), **answer("foreign"))
        self.assertEqual(self.jobs._reports._versions, {})


class RenewTests(JobsBench):
    """A fresh description, beside the questions of the machine."""

    def test_renewed(self) -> None:
        self.online()
        renewed = self.jobs.renew(key("a"))
        self.assertEqual(self.session.published[-1].body, {"includeJobDocument": True})
        self.session.accept(self.session.one(), **answer(jobDocument={"log_url": "fresh"}))
        found = self.successResultOf(renewed)
        assert found is not None
        self.assertEqual((found.key, found.document), (key("a"), {"log_url": "fresh"}))
        self.assertEqual(self.taken(), [])

    def test_another_execution_of_the_job(self) -> None:
        self.online()
        renewed = self.jobs.renew(key("a"))
        self.session.accept(self.session.one(), execution=summary(queued_at=101))
        self.assertIsNone(self.successResultOf(renewed))

    def test_not_to_be_had(self) -> None:
        self.online()
        renewed = self.jobs.renew(key("a"))
        self.session.reject(self.session.one(), "TerminalStateReached")
        self.assertIsNone(self.successResultOf(renewed))
        renewed = self.jobs.renew(key("a"))
        self.session.accept(self.session.one(), execution="nonsense")
        self.assertIsNone(self.successResultOf(renewed))
        self.assertIsNone(self.successResultOf(self.jobs.renew(key("get"))))

    def test_cancelled(self) -> None:
        self.online()
        renewed = self.jobs.renew(key("a"))
        self.session.reject(self.session.one(), "ResourceNotFound")
        renewed.cancel()
        self.failureResultOf(renewed, CancelledError)
        self.jobs.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_end_waits_for_what_comes_before(self) -> None:
        before: Deferred[None] = Deferred()
        self.jobs = JobsClient(
            self.clock, self.session, "T", FakeUndelivered([]), before_end=lambda *_: before
        )
        self.jobs.events = self.listener
        self.session.events = self.jobs
        self.online()
        self.jobs.report(begun(), DONE)
        self.assertEqual(self.session.taken(), [])
        before.callback(None)
        self.assertTrue(self.session.one().topic.endswith("/a/update"))


class HeldUpTests(JobsBench):
    """One execution must not hold up the others for ever."""

    def reject_all(self, topic: str, code: str) -> None:
        """Reject what was published on this topic, and forget all else."""
        for request in self.session.taken():
            if request.topic.endswith(topic):
                self.session.reject(request, code)

    def test_a_describe_that_always_fails_is_given_up_for_now(self) -> None:
        self.online()
        self.session.taken()
        self.jobs.describe("a")
        for attempt in range(MAX_DESCRIBE_ATTEMPTS):
            self.assertNotIn(("vanished", "a", False), self.listener.told, attempt)
            self.reject_all("a/get", "InternalError")
            self.clock.advance(70)
        self.assertIn(("vanished", "a", False), self.listener.told)

    def test_a_restart_that_cannot_be_announced(self) -> None:
        self.following()
        self.jobs.report(execution(status=Status.IN_PROGRESS), Report(State.REBOOT_START))
        for attempt in range(MAX_REJECTIONS):
            self.assertNotIn(("undeliverable", "reboot_start"), self.listener.told, attempt)
            self.reject_all("a/update", "SomethingNew")
            self.clock.advance(REJECTED_RETRY_INTERVAL)
        self.assertIn(("undeliverable", "reboot_start"), self.listener.told)

    def test_a_cancelled_job_takes_its_reports_along(self) -> None:
        self.following()
        self.jobs.report(execution(status=Status.IN_PROGRESS), Report(State.REBOOT_START))
        self.reject_all("a/update", "SomethingNew")
        self.clock.advance(1)
        self.session.taken()
        self.jobs.execution_over(key("a"))
        self.jobs.fetch()
        self.assertEqual([each.topic for each in self.session.taken()], [BASE + "get"])


class NotificationTests(JobsBench):
    def test_changed(self) -> None:
        self.online()
        self.notify(summary("b"))
        self.notify()
        self.assertEqual(self.taken(), [("changed",)] * 2)
        self.assertEqual(self.asked(), [])

    def test_with_our_job(self) -> None:
        self.following()
        for kind in ("IN_PROGRESS", "QUEUED"):
            self.notify(summary("b"), summary("a"), kind=kind)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.taken(), [("changed",)] * 2)

    def test_without_our_job_raises_the_question(self) -> None:
        self.following()
        self.notify(summary("b"))
        request = self.request("a/get")
        self.assertEqual(request.body, {"includeJobDocument": False})
        self.notify()
        self.assertEqual(self.asked(), [])
        self.session.accept(request, **answer(status="QUEUED"))
        self.assertEqual(self.taken(), [("changed",)] * 2)
        self.notify()
        self.assertEqual(self.asked(), ["a/get"])

    def test_over(self) -> None:
        for status in (each for each in Status if each.ended):
            self.following()
            self.notify()
            self.taken()
            self.session.accept(self.request("a/get"), **answer(status=status.value))
            self.assertEqual(self.taken(), [("cancelled",)])
            self.notify()
            self.assertEqual(self.asked(), [])
            self.jobs.close()

    def test_over_by_code(self) -> None:
        self.following()
        self.notify()
        self.taken()
        self.session.reject(self.request("a/get"), "TerminalStateReached")
        self.assertEqual(self.taken(), [("cancelled",)])

    def test_unknown(self) -> None:
        self.following()
        self.notify()
        self.session.reject(self.request("a/get"), "ResourceNotFound")
        self.notify()
        self.taken()
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.session.reject(self.request("a/get"), "ResourceNotFound")
        self.assertEqual(self.taken(), [("cancelled",)])

    def test_unknown_once(self) -> None:
        self.following()
        for _ in range(2):
            self.notify()
            self.session.reject(self.request("a/get"), "ResourceNotFound")
            self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
            self.session.accept(self.request("a/get"), **answer())
        self.assertNotIn(("cancelled",), self.taken())

    def test_other_refusals_prove_nothing(self) -> None:
        self.following()
        self.notify()
        self.session.reject(self.request("a/get"), "InvalidRequest")
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.assertEqual(self.asked(), [])
        self.assertEqual(self.taken(), [("changed",)])

    def test_answers_that_make_no_sense_prove_nothing(self) -> None:
        self.following()
        for nonsense in ({}, answer("b", status="CANCELED"), answer(status="NONSENSE")):
            self.notify()
            self.session.accept(self.request("a/get"), **nonsense)
        self.assertEqual(self.taken(), [("changed",)] * 3)

    def test_another_execution_under_our_id(self) -> None:
        for other in (summary("a", queued_at=101), summary("a", number=2)):
            self.following()
            self.notify(other)
            self.taken()
            self.session.accept(self.request("a/get"), execution={**other, "status": "QUEUED"})
            self.assertEqual(self.taken(), [("cancelled",)])
            self.jobs.close()

    def test_the_version_is_learnt(self) -> None:
        self.following()
        self.notify()
        self.session.accept(self.request("a/get"), **answer(versionNumber=6))
        self.jobs.report(execution(), START)
        self.assertEqual(self.request("a/update").payload["expectedVersion"], 6)

    def test_no_longer_followed(self) -> None:
        self.following()
        self.notify()
        request = self.request("a/get")
        self.jobs.unfollow()
        self.session.accept(request, **answer(status="CANCELED"))
        self.assertEqual(self.taken(), [("changed",)])

    def test_no_longer_followed_between_two_questions(self) -> None:
        self.following()
        self.notify()
        self.session.reject(self.request("a/get"), "ResourceNotFound")
        self.jobs.unfollow()
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.assertEqual(self.asked(), [])

    def test_the_question_about_one_does_not_end_the_next(self) -> None:
        self.following()
        self.notify()
        request = self.request("a/get")
        self.jobs.follow(execution("b", status=Status.IN_PROGRESS))
        self.session.accept(request, **answer("a", status="CANCELED"))
        self.assertEqual(self.taken(), [("changed",)])


class ReportTests(JobsBench):
    def test_delivered(self) -> None:
        self.following()
        self.jobs.report(execution(), START)
        self.assertEqual(self.taken(), [])
        self.session.accept(self.request("a/update"))
        self.assertEqual(self.taken(), [("delivered", "download_start")])

    def test_not_told_of_what_is_not_followed(self) -> None:
        self.following()
        for other in (execution("b"), execution("a", queued_at=101)):
            self.jobs.report(other, START)
            self.session.accept(self.session.one())
            self.jobs.report(other, START)
            self.session.reject(self.session.one(), "X", executionState={"status": "CANCELED"})
        self.jobs.report(execution(), START)
        self.jobs.unfollow()
        self.session.accept(self.session.one())
        self.assertEqual(self.taken(), [])

    def test_the_end_also_ends_following(self) -> None:
        self.following(begun())
        self.jobs.report(begun(), DONE)
        self.notify()
        update = self.request("a/update")
        self.assertEqual(update.payload["status"], "SUCCEEDED")
        self.session.accept(update)
        self.assertEqual(self.taken(), [("changed",)])

    def test_the_end_of_another_does_not(self) -> None:
        self.following()
        self.jobs.report(begun("b"), DONE)
        self.session.accept(self.request("b/update"))
        self.notify()
        self.assertEqual(self.asked(), ["a/get"])

    def test_ended_by_others(self) -> None:
        self.following()
        self.jobs.report(execution(), START)
        self.jobs.report(execution(), Report(State.REBOOT_START))
        state = {"status": "CANCELED", "versionNumber": 2}
        self.session.reject(
            self.request("a/update"), "InvalidStateTransition", executionState=state
        )
        self.assertEqual(self.taken(), [("cancelled",)])
        self.assertEqual(self.asked(), [])
        self.notify()
        self.assertEqual(self.asked(), [])


class WithinEventsTests(JobsBench):
    """An event may ask the next question, or end everything, while its own question is answered."""

    def test_the_next_description_from_within_a_repeated_one(self) -> None:
        described: list[str] = []

        def describe_next(execution: JobExecution) -> None:
            described.append(execution.job_id)
            if execution.job_id == "a":
                self.jobs.describe("b")

        self.listener.described = describe_next  # type: ignore[method-assign]
        self.online()
        self.jobs.describe("a")
        self.session.reject(self.request("a/get"), "ResourceNotFound")
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.session.accept(self.request("a/get"), **answer("a"))
        self.session.accept(self.request("b/get"), **answer("b"))
        self.assertEqual(described, ["a", "b"])
        self.at_rest()

    def test_the_next_list_from_within_a_list(self) -> None:
        self.listener.pending = lambda *_: self.jobs.fetch()  # type: ignore[method-assign]
        self.online()
        self.jobs.fetch()
        self.session.accept(self.request("get"), **lists())
        self.request("get")
        self.at_rest()

    def test_another_execution_from_within_the_end_of_one(self) -> None:
        other = execution("b", status=Status.IN_PROGRESS)
        self.listener.cancelled = lambda: self.jobs.follow(other)  # type: ignore[method-assign]
        self.following()
        self.notify()
        self.session.reject(self.request("a/get"), "TerminalStateReached")
        self.notify()
        self.request("b/get")
        self.at_rest()

    def test_closed_from_within_each_event(self) -> None:
        for event in ("pending", "described", "delivered", "cancelled"):
            self.setUp()
            self.listener = Listener()
            self.jobs.events = self.listener
            setattr(self.listener, event, lambda *_: self.jobs.close())
            self.following()
            self.notify()
            self.jobs.report(execution(), START)
            self.jobs.describe("a")
            check, update, describe = self.session.taken()
            self.session.accept(describe, **answer())
            self.session.accept(update)
            self.jobs.fetch()
            for request in self.session.taken():
                self.session.accept(request, **lists())
            self.session.accept(check, **answer(status="CANCELED"))
            self.at_rest()

    def test_one_that_fails_is_logged(self) -> None:
        self.listener.described = lambda _: 1 / 0  # type: ignore[assignment,method-assign]
        self.online()
        self.jobs.describe("a")
        self.session.accept(self.request("a/get"), **answer())
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.jobs.describe("a")
        self.request("a/get")


class EndTests(JobsBench):
    def test_drained_at_once(self) -> None:
        self.assertIsNone(self.successResultOf(self.jobs.drain()))

    def test_drained_when_all_is_delivered(self) -> None:
        self.online()
        self.jobs.report(begun("a"), DONE)
        self.jobs.report(begun("b"), DONE)
        drained = self.jobs.drain()
        self.session.accept(self.request("a/update"))
        self.assertNoResult(drained)
        self.session.accept(self.request("b/update"))
        self.assertIsNone(self.successResultOf(drained))
        self.jobs.report(begun("c"), DONE)
        self.session.accept(self.request("c/update"))
        self.at_rest()

    def test_nobody_waits_any_more(self) -> None:
        self.online()
        self.jobs.report(begun("a"), DONE)
        drained = self.jobs.drain()
        drained.cancel()
        self.failureResultOf(drained, CancelledError)
        self.session.accept(self.request("a/update"))
        self.at_rest()

    def test_close_without_a_connection(self) -> None:
        self.jobs.follow(execution())
        self.jobs.fetch()
        self.jobs.describe("b")
        self.jobs.report(execution(), START)
        self.at_rest()
        self.online()
        self.assertEqual(self.asked(), [])

    def test_close_while_everything_waits(self) -> None:
        self.following()
        self.notify()
        self.jobs.fetch()
        self.jobs.describe("b")
        self.jobs.report(execution("c"), START)
        requests = self.session.taken()
        self.assertEqual(len(requests), 4)
        self.taken()
        self.at_rest()
        for request in requests:
            self.session.accept(request, **answer(status="CANCELED"), **lists())
        self.assertEqual(self.taken(), [])
        self.assertEqual(self.asked(), [])
        self.at_rest()

    def test_close_while_everything_is_to_be_repeated(self) -> None:
        self.following()
        self.notify()
        self.jobs.fetch()
        self.jobs.describe("b")
        for request in self.session.taken():
            self.session.reject(request, "ResourceNotFound")
        self.jobs.report(execution(), START)
        self.session.reject(self.request("a/update"), "ResourceNotFound")
        self.assertEqual(len(self.clock.getDelayedCalls()), 5)
        self.at_rest()

    def test_close_while_progress_waits(self) -> None:
        self.online()
        for count in "12":
            self.jobs.report(execution(), Report(State.DOWNLOAD_PROGRESS, count))
        self.session.accept(self.session.one())
        self.at_rest()


TOPICS = (
    st.sampled_from(
        [
            *("notify", "get/accepted", "get/rejected", "a/get/accepted", "a/get/rejected"),
            *("a/update/accepted", "a/update/rejected", "$next/get/accepted", "notify-next"),
            *("", "/", "accepted", "/accepted", "a/b/c/d/rejected", "get/accepted/x"),
        ]
    ).map(lambda part: BASE + part)
    | st.text()
)


ENTRIES = st.lists(objects(jobId=st.just("a"), queuedAt=st.integers()) | ANY_JSON)
ANSWERS = objects(
    code=st.sampled_from(
        [
            *("ResourceNotFound", "InvalidStateTransition", "VersionMismatch", "InternalError"),
            *("InvalidRequest", "InvalidJson", "TerminalStateReached", "RequestThrottled"),
        ]
    ),
    execution=objects(
        jobId=st.just("a"),
        status=st.sampled_from(list(Status)),
        queuedAt=st.integers(),
        versionNumber=st.integers() | st.floats(),
        statusDetails=objects(state=st.text()),
    ),
    executionState=objects(
        status=st.sampled_from(list(Status)), versionNumber=st.integers() | st.floats()
    ),
    inProgressJobs=ENTRIES,
    queuedJobs=ENTRIES,
    jobs=objects(QUEUED=ENTRIES, IN_PROGRESS=ENTRIES),
)


class AnythingTests(JobsBench):
    """Nothing that a broker sends may do harm."""

    def busy(self) -> dict[str, Published]:
        """A client that waits for an answer of each kind."""
        self.setUp()
        self.following()
        self.notify()
        self.jobs.fetch()
        self.jobs.describe("a")
        self.jobs.report(execution(), START)
        check, get, describe, update = self.session.taken()
        return {"check": check, "get": get, "describe": describe, "update": update}

    @RELAXED
    @given(TOPICS, st.binary() | ANSWERS.map(lambda value: json.dumps(value).encode()))
    def test_any_message(self, topic: str, payload: bytes) -> None:
        self.busy()
        self.jobs.received(topic, payload)
        self.at_rest()

    @RELAXED
    @given(
        st.sampled_from(["check", "get", "describe", "update"]),
        st.sampled_from(["accepted", "rejected"]),
        ANSWERS,
    )
    def test_any_answer_to_us(self, kind: str, verdict: str, payload: dict[str, object]) -> None:
        request = self.busy()[kind]
        message = json.dumps({**payload, "clientToken": request.token}).encode()
        self.jobs.received(f"{request.topic}/{verdict}", message)
        self.clock.advance(3)
        self.at_rest()

    def test_messages_for_others(self) -> None:
        self.busy()
        self.taken()
        for topic in (
            *("", "x", "$aws/things/T/jobs", "$aws/things/U/jobs/notify", "$aws/things/T/shadow"),
            BASE.replace("T", "t") + "notify",
        ):
            self.jobs.received(topic, b'{"jobs": {}}')
        for part in ("notify-next", "x", "notify/accepted", "get/accepted/accepted"):
            self.jobs.received(BASE + part, b"{}")
        self.assertEqual(self.taken(), [])

    def test_deeper_than_python_reads(self) -> None:
        """Python's limit for nesting is counted from its stack: none of its places may give way."""
        for depth in (*range(850, 1000), 100_000):
            nested = "[" * depth + "]" * depth
            for members in ('"code":%s', '"execution":{"jobId":"a","status":%s}'):
                requests = self.busy()
                for request in requests.values():
                    text = f'{{"clientToken":"{request.token}",{members % nested}}}'
                    for verdict in ("accepted", "rejected"):
                        self.jobs.received(f"{request.topic}/{verdict}", text.encode())
                self.at_rest()

    def test_keys_without_numbers(self) -> None:
        self.following(JobExecution(ExecutionKey("a", 0, 0), Status.IN_PROGRESS, 0))
        self.notify({"jobId": "a"})
        self.assertEqual(self.asked(), [])
