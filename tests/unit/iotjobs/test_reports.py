"""Reports on their way: order, versions, and what AWS's refusals mean."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution, key
from tests.unit.iotjobs.session import FakeSession, Published
from tests.unit.iotjobs.undelivered import FakeUndelivered
from upparat.iotjobs.reports import (
    MAX_REJECTIONS,
    MAX_VERSION_MISMATCHES,
    NAMED,
    NOT_FOUND_RETRY_INTERVAL,
    REJECTED_RETRY_INTERVAL,
    SECOND_CHANCE,
    ReportListener,
    ReportQueue,
)
from upparat.iotjobs.requests import Requests
from upparat.iotjobs.wire import Topics
from upparat.job import ExecutionKey, JobExecution, Report, State, Status

START = Report(State.DOWNLOAD_START)
REBOOT = Report(State.REBOOT_START)
DONE = Report(State.COMPLETE_READY)
FAILED = Report(State.DOWNLOAD_FAILED, "404")


def progress(count: int) -> Report:
    return Report(State.DOWNLOAD_PROGRESS, f"{count} bytes")


def lines(text: str) -> Report:
    return Report(State.INSTALLATION_PROGRESS, text)


def state_of(report: Report, version: int, **changes: object) -> dict[str, Any]:
    """The ``executionState`` after a report."""
    return {
        "executionState": {
            "status": report.status.value,
            "statusDetails": report.details,
            "versionNumber": version,
            **changes,
        }
    }


def others(status: Status, version: int = 7) -> dict[str, Any]:
    """The ``executionState`` after something that we did not do."""
    return {"executionState": {"status": status.value, "versionNumber": version}}


class Listener:
    """Appends each call to a list; ``on_delivered`` is called instead, if a test sets it."""

    def __init__(self, calls: list[tuple[Any, ...]]) -> None:
        self.calls = calls
        self.on_delivered: Callable[[Report], object] | None = None

    def report_delivered(self, key: ExecutionKey, report: Report) -> None:
        if self.on_delivered is not None:
            self.on_delivered(report)
        else:
            self.calls.append(("delivered", key.job_id, report.state.value))

    def execution_over(self, key: ExecutionKey) -> None:
        self.calls.append(("over", key.job_id))

    def report_given_up(self, key: ExecutionKey, report: Report) -> None:
        self.calls.append(("given up", key.job_id, report.state.value))

    def reports_done(self) -> None:
        self.calls.append(("done",))


def _hears(listener: Listener) -> ReportListener:
    return listener


class Answers:
    """Passes responses on from the session to the requests, in place of the jobs client."""

    def __init__(self, requests: Requests) -> None:
        self.requests = requests

    def connected(self) -> None:
        self.requests.session_ready()

    def disconnected(self, reason: str) -> None:
        self.requests.session_lost()

    def received(self, topic: str, payload: bytes) -> None:
        request, _, verdict = topic.rpartition("/")
        self.requests.answered(request, verdict == "accepted", json.loads(payload))


class ReportsBench(SynchronousTestCase):
    interval = 5.0

    def setUp(self) -> None:
        self.clock = Clock()
        self.session = FakeSession()
        self.requests = Requests(self.clock, self.session, lambda: 0.5)
        self.session.events = Answers(self.requests)
        self.told: list[tuple[Any, ...]] = []
        self.listener = Listener(self.told)
        self.reports = ReportQueue(
            self.clock,
            self.requests,
            Topics("T"),
            self.interval,
            self.listener,
            FakeUndelivered(self.told),
        )
        self.session.connect()

    def add(self, *reports: Report, to: JobExecution | None = None) -> None:
        for report in reports:
            of = to or execution(status=Status.IN_PROGRESS)
            self.reports.note_named(of.key)
            self.reports.add(of, report)

    def accept(self, **answer: object) -> Published:
        """Accept the one update that is under way."""
        request = self.session.one()
        self.session.accept(request, **answer)
        return request

    def reject(self, code: str, **answer: object) -> Published:
        """Refuse the one update that is under way."""
        request = self.session.one()
        self.session.reject(request, code, **answer)
        return request

    def sent(self) -> list[tuple[str, str]]:
        """Job id and state of what was sent since the last time."""
        return [
            (update.topic.split("/")[-2], update.payload["statusDetails"]["state"])
            for update in self.session.taken()
        ]

    def expected(self) -> object:
        """The version that the one update under way expects; it stays under way."""
        return self.session.published[-1].payload.get("expectedVersion")

    def taken(self) -> list[tuple[Any, ...]]:
        taken, self.told[:] = list(self.told), []
        return taken

    def at_rest(self) -> None:
        self.assertTrue(self.reports.empty)
        self.assertEqual(self.session.taken(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class SendingTests(ReportsBench):
    def test_an_update(self) -> None:
        self.add(Report(State.DOWNLOAD_INTERRUPT, "x\ty"))
        update = self.session.one()
        self.assertEqual(update.topic, "$aws/things/T/jobs/a/update")
        self.assertEqual(
            update.body,
            {
                "status": "IN_PROGRESS",
                "statusDetails": {"state": "download_interrupt", "message": "x y"},
                "executionNumber": 1,
                "expectedVersion": 1,
                "includeJobExecutionState": True,
            },
        )
        self.assertFalse(self.reports.empty)
        self.session.accept(update, **state_of(START, 2))
        self.assertEqual(self.taken(), [("delivered", "a", "download_interrupt"), ("done",)])
        self.at_rest()

    def test_numbers_that_are_not_known(self) -> None:
        unknown = JobExecution(ExecutionKey("a", 0, 0), Status.IN_PROGRESS, version_number=0)
        self.add(START, to=unknown)
        body = self.session.one().body
        self.assertNotIn("executionNumber", body)
        self.assertNotIn("expectedVersion", body)

    def test_one_at_a_time_in_order(self) -> None:
        self.add(START, REBOOT)
        self.add(FAILED, to=execution("b"))
        self.add(DONE)
        for expected in (
            ("a", "download_start"),
            ("a", "reboot_start"),
            ("b", "download_failed"),
            ("a", "complete_ready"),
        ):
            (update,) = self.session.published
            self.assertEqual(self.sent(), [expected])
            self.session.accept(update)
        self.at_rest()
        self.assertEqual(self.taken().count(("done",)), 1)

    def test_a_report_of_whom_is_told(self) -> None:
        """What is reported upon a delivery goes behind what waits already."""
        self.listener.on_delivered = lambda report: (
            self.add(REBOOT) if report is START else self.told.append((report.state.value,))
        )
        self.add(START, Report(State.INSTALLATION_START))
        self.accept()
        self.accept()
        self.assertEqual(self.taken(), [("installation_start",)])
        self.accept()
        self.assertEqual(self.taken(), [("reboot_start",), ("done",)])

    def test_not_emptied_while_its_teller_adds(self) -> None:
        self.listener.on_delivered = lambda report: self.add(REBOOT) if report is START else None
        self.add(START)
        self.accept()
        self.assertEqual(self.taken(), [])
        self.accept()
        self.assertEqual(self.taken(), [("done",)])

    def test_a_listener_that_fails_is_logged(self) -> None:
        self.listener.on_delivered = lambda report: 1 / 0
        self.add(START)
        self.accept()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.add(REBOOT)
        self.assertEqual(self.sent(), [("a", "reboot_start")])

    def test_closed_by_the_listener(self) -> None:
        self.listener.on_delivered = lambda report: self.reports.close()
        self.add(START, REBOOT)
        self.accept()
        self.at_rest()

    def test_the_session_goes_and_comes(self) -> None:
        self.add(START)
        first = self.session.one()
        self.session.lose()
        self.add(REBOOT)
        self.clock.advance(1000)
        self.session.connect()
        self.assertEqual(self.accept(), first)
        self.assertEqual(self.accept().payload["statusDetails"]["state"], "reboot_start")
        self.at_rest()

    def test_close(self) -> None:
        self.add(START, progress(1))
        update = self.session.one()
        self.reports.close()
        self.session.accept(update)
        self.assertEqual(self.taken(), [])
        self.at_rest()

    def test_close_while_progress_waits(self) -> None:
        self.add(progress(1))
        self.accept()
        self.add(progress(2))
        self.reports.close()
        self.at_rest()

    def test_close_while_an_update_is_to_be_repeated(self) -> None:
        self.add(START)
        self.reject("ResourceNotFound")
        self.reports.close()
        self.at_rest()


class ProgressTests(ReportsBench):
    def test_progress_takes_its_time(self) -> None:
        self.add(progress(1))
        self.accept()
        self.add(progress(2))
        self.assertEqual(self.session.published, [])
        self.clock.advance(4.9)
        self.assertEqual(self.session.published, [])
        self.clock.advance(0.1)
        self.assertEqual(self.accept().payload["statusDetails"]["message"], "2 bytes")
        self.clock.advance(100)
        self.add(progress(3))
        self.assertEqual(self.accept().payload["statusDetails"]["message"], "3 bytes")
        self.at_rest()

    def test_the_last_moment_is_waited_for_too(self) -> None:
        self.add(progress(1))
        self.accept()
        self.clock.advance(4.5)
        self.add(progress(2))
        self.assertEqual(self.session.published, [])
        self.clock.advance(0.5)
        self.accept()
        self.at_rest()

    def test_newer_progress_takes_the_place_of_older(self) -> None:
        self.add(*map(progress, range(1, 6)))
        self.assertEqual(self.accept().payload["statusDetails"]["message"], "1 bytes")
        self.add(progress(6))
        self.clock.advance(5)
        self.assertEqual(self.accept().payload["statusDetails"]["message"], "6 bytes")
        self.at_rest()

    def test_only_like_progress_gives_way(self) -> None:
        self.add(START, progress(1), lines("one"), lines("two"))
        self.add(lines("three"), to=execution("b"))
        self.add(START, START)
        said = []
        while self.session.published:
            update = self.accept()
            said.append((update.topic.split("/")[-2], update.payload["statusDetails"]["message"]))
        self.assertEqual(
            said,
            [("a", "none"), ("a", "1 bytes"), ("a", "two"), ("b", "three")] + [("a", "none")] * 2,
        )

    def test_the_last_progress_goes_out_before_a_firm_report(self) -> None:
        self.add(progress(1))
        self.accept()
        self.add(progress(2))
        self.assertEqual(self.session.published, [])
        self.add(REBOOT)
        self.assertEqual(self.accept().payload["statusDetails"]["message"], "2 bytes")
        self.assertEqual(self.accept().payload["statusDetails"]["state"], "reboot_start")
        self.at_rest()

    def test_a_firm_report_does_not_wait(self) -> None:
        self.add(progress(1))
        self.accept()
        self.add(START)
        self.accept()
        self.at_rest()


class VersionTests(ReportsBench):
    def test_the_version_goes_up(self) -> None:
        self.add(START, REBOOT, DONE)
        self.assertEqual(self.expected(), 1)
        self.accept(**state_of(START, 5))
        self.assertEqual(self.expected(), 5)
        self.accept()
        self.assertEqual(self.expected(), 6)

    def test_versions_are_each_execution_s_own(self) -> None:
        self.add(START)
        self.accept(**state_of(START, 9))
        self.add(START, to=execution("b"))
        self.assertEqual(self.expected(), 1)
        self.accept()
        self.add(START, to=execution(queued_at=200))
        self.assertEqual(self.expected(), 1)

    def test_a_description_tells_the_version(self) -> None:
        self.reports.learn_version(execution())
        self.reports.learn_version(
            JobExecution(execution().key, Status.IN_PROGRESS, version_number=4)
        )
        self.reports.learn_version(execution())
        self.add(START)
        self.assertEqual(self.expected(), 4)

    def test_a_job_that_was_created_anew_is_another_one(self) -> None:
        """AWS gives it the same number, and says nothing of when it was queued."""
        self.add(START)
        self.accept(**state_of(START, 4))
        self.add(DONE)
        self.taken()
        self.reject("VersionMismatch", **others(Status.QUEUED, 1))
        self.assertEqual(self.session.published, [])
        self.assertIn("over", [told[0] for told in self.taken()])
        self.at_rest()

    def test_one_that_has_not_begun_is_still_the_same(self) -> None:
        self.add(START)
        self.reject("VersionMismatch", **others(Status.QUEUED))
        self.assertEqual(self.accept().payload["statusDetails"]["state"], "download_start")
        self.at_rest()

    def test_what_is_owed_has_the_version_that_is_known(self) -> None:
        self.add(START)
        self.accept(**state_of(START, 9))
        with mock.patch.object(self.reports._undelivered, "add") as add:
            self.add(DONE)
        self.assertEqual(add.call_args.args[0].version_number, 9)

    def test_nothing_is_remembered_of_what_is_over(self) -> None:
        self.add(START)
        self.accept(**state_of(START, 9))
        self.add(DONE)
        self.accept(**state_of(DONE, 10))
        self.assertEqual(self.reports._versions, {})
        self.add(START)
        self.accept(**state_of(START, 9))
        self.add(REBOOT)
        self.reject("InvalidStateTransition", **others(Status.CANCELED))
        self.assertEqual(self.reports._versions, {})


class RefusedTests(ReportsBench):
    # --- AWS tells what is there ---

    def test_another_version_and_alive(self) -> None:
        self.add(START, REBOOT)
        first = self.reject("VersionMismatch", **others(Status.IN_PROGRESS, 7))
        second = self.session.one()
        self.assertEqual(second.body, {**first.body, "expectedVersion": 7})
        self.assertNotEqual(second.token, first.token)
        self.assertEqual(self.taken(), [])
        self.session.accept(second, **state_of(START, 8))
        self.assertEqual(self.taken(), [("delivered", "a", "download_start")])
        self.assertEqual(self.expected(), 8)

    def test_ours_has_arrived_already(self) -> None:
        for code in ("VersionMismatch", "InvalidStateTransition"):
            self.add(DONE)
            self.taken()
            self.reject(code, **state_of(DONE, 2))
            self.assertEqual(
                self.taken(), [("remove", "a"), ("delivered", "a", "complete_ready"), ("done",)]
            )
            self.at_rest()

    def test_ours_in_progress_has_arrived_already(self) -> None:
        self.add(REBOOT, DONE)
        self.taken()
        self.reject("VersionMismatch", **state_of(REBOOT, 5))
        self.assertEqual(self.taken(), [("delivered", "a", "reboot_start")])
        self.assertEqual(self.expected(), 5)

    def test_the_same_status_with_other_details_is_not_ours(self) -> None:
        self.add(DONE)
        self.taken()
        self.reject("InvalidStateTransition", **state_of(Report(State.COMPLETE_SOFT_RESTART), 2))
        self.assertEqual(self.taken(), [("remove", "a"), ("over", "a"), ("done",)])

    def test_ended_by_others(self) -> None:
        for code in ("VersionMismatch", "InvalidStateTransition"):
            for status in (s for s in Status if s.ended):
                self.add(START)
                self.reject(code, **others(status))
                self.assertEqual(self.taken(), [("remove", "a"), ("over", "a"), ("done",)])
                self.at_rest()

    def test_what_waits_for_an_execution_that_is_over_is_dropped(self) -> None:
        self.add(START, REBOOT)
        self.add(FAILED, to=execution("b"))
        self.add(DONE, FAILED, to=execution(queued_at=200))
        self.add(DONE)
        self.taken()
        self.reject("InvalidStateTransition", **others(Status.CANCELED))
        self.assertEqual(self.taken(), [("remove", "a"), ("over", "a")])
        left = []
        while self.session.published:
            left.append(self.accept().topic.split("/")[-2])
        self.assertEqual(left, ["b", "a", "a"])

    def test_confusion_has_an_end(self) -> None:
        self.add(REBOOT)
        expected = []
        for version in range(10, 10 + MAX_VERSION_MISMATCHES + 2):
            expected.append(self.expected())
            self.reject("VersionMismatch", **others(Status.IN_PROGRESS, version))
        self.assertEqual(expected, [1, 10, 11, 12, 13, None, None])
        self.assertEqual(self.session.taken(), [])
        self.clock.advance(REJECTED_RETRY_INTERVAL - 1)
        self.assertEqual(self.session.taken(), [])
        self.clock.advance(1)
        self.assertIsNone(self.expected())
        self.reject("VersionMismatch", **others(Status.IN_PROGRESS, 99))
        self.assertEqual(self.session.taken(), [])
        self.clock.advance(REJECTED_RETRY_INTERVAL)
        self.accept()
        self.assertEqual(self.taken(), [("delivered", "a", "reboot_start"), ("done",)])
        self.at_rest()

    # --- AWS does not tell what is there ---

    def test_unknown_once(self) -> None:
        for code in ("ResourceNotFound", "InvalidStateTransition", "TerminalStateReached"):
            self.add(START)
            self.reject(code)
            self.assertEqual(self.session.taken(), [])
            self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
            self.accept()
            self.assertEqual(self.taken(), [("delivered", "a", "download_start"), ("done",)])
            self.at_rest()

    def test_unknown_twice(self) -> None:
        for code in ("ResourceNotFound", "InvalidStateTransition", "TerminalStateReached"):
            self.add(DONE)
            self.taken()
            self.reject(code)
            self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
            self.assertEqual(self.taken(), [])
            self.reject(code)
            self.assertEqual(self.taken(), [("remove", "a"), ("over", "a"), ("done",)])
            self.at_rest()

    def test_what_waits_goes_on_after_an_unknown_one(self) -> None:
        self.add(START)
        self.add(START, to=execution("b"))
        self.reject("ResourceNotFound")
        self.assertEqual(self.session.published, [])
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.reject("ResourceNotFound")
        self.assertEqual(self.sent(), [("b", "download_start")])

    def test_a_state_that_makes_no_sense_is_none(self) -> None:
        self.add(START)
        self.reject("VersionMismatch", executionState={"status": "NONSENSE"})
        self.assertIsNone(self.expected())
        self.reject("VersionMismatch", executionState={"status": "NONSENSE"})
        self.clock.advance(REJECTED_RETRY_INTERVAL)
        self.accept()
        self.at_rest()

    # --- the request is wrong ---

    def test_invalid_details_must_not_hold_up_the_status(self) -> None:
        self.add(DONE)
        self.reject("InvalidRequest")
        self.reject("InvalidRequest")
        stripped = self.session.one()
        self.assertEqual(stripped.payload["status"], "SUCCEEDED")
        self.assertNotIn("statusDetails", stripped.payload)
        self.assertEqual(stripped.payload["expectedVersion"], 1)
        self.session.accept(stripped)
        self.assertIn(("delivered", "a", "complete_ready"), self.taken())
        self.at_rest()

    def test_details_get_plainer_step_by_step(self) -> None:
        message = "f\N{LATIN SMALL LETTER U WITH DIAERESIS}r \N{GRINNING FACE}"
        self.add(Report(State.READY_HOOK_FAILED, message, {"stderr": "\N{GRINNING FACE}"}))
        sent = [self.reject("InvalidRequest").payload.get("statusDetails") for _ in range(5)]
        state = "ready_hook_failed"
        self.assertEqual(
            sent,
            [
                {"state": state, "message": message, "stderr": "\N{GRINNING FACE}"},
                {"state": state, "message": "f?r ?", "stderr": "?"},
                {"state": state, "message": "f?r ?"},
                {"state": state},
                None,
            ],
        )

    def test_a_plainer_report_that_has_arrived_is_recognized(self) -> None:
        self.add(Report(State.READY_HOOK_FAILED, "\N{GRINNING FACE}"))
        self.reject("InvalidRequest")
        there = {"state": "ready_hook_failed", "message": "?"}
        state = {"status": "FAILED", "statusDetails": there, "versionNumber": 3}
        self.reject("VersionMismatch", executionState=state)
        self.assertIn(("delivered", "a", "ready_hook_failed"), self.taken())
        self.at_rest()

    def test_invalid_even_without_details(self) -> None:
        self.add(DONE)
        for _ in range(3):
            self.reject("InvalidRequest")
        self.assertEqual(self.session.taken(), [])
        self.clock.advance(REJECTED_RETRY_INTERVAL)
        self.accept()
        self.assertIn(("delivered", "a", "complete_ready"), self.taken())
        self.at_rest()

    def test_wrong_firm_reports_are_repeated_at_length(self) -> None:
        for code in ("InvalidJson", "InvalidTopic", "SomethingNew"):
            self.add(DONE)
            first = self.reject(code)
            self.clock.advance(REJECTED_RETRY_INTERVAL - 1)
            self.assertEqual(self.session.taken(), [])
            self.clock.advance(1)
            self.assertEqual(self.accept().body, first.body)
            self.at_rest()

    def refuse_for_ever(self) -> None:
        for number in range(MAX_REJECTIONS):
            if number:
                self.clock.advance(REJECTED_RETRY_INTERVAL)
            self.reject("InvalidJson")

    def test_what_is_refused_for_ever_does_not_hold_up_the_rest(self) -> None:
        self.add(DONE)
        self.add(START, to=execution("b"))
        self.refuse_for_ever()
        self.assertEqual(
            self.taken(),
            [
                ("add", "a", "complete_ready"),
                ("given up", "a", "complete_ready"),
            ],
        )
        self.accept()
        self.assertEqual(self.taken(), [("delivered", "b", "download_start"), ("done",)])

    def test_the_end_is_sent_once_more_now_and_then(self) -> None:
        """Otherwise the execution would stay in progress until the agent is started again."""
        self.add(DONE)
        self.refuse_for_ever()
        for _ in range(3):
            self.clock.advance(SECOND_CHANCE - 1)
            self.assertEqual(self.session.taken(), [])
            self.clock.advance(1)
            self.reject("InvalidJson")
        self.taken()
        self.clock.advance(SECOND_CHANCE)
        self.accept()
        self.assertEqual(
            self.taken(), [("remove", "a"), ("delivered", "a", "complete_ready"), ("done",)]
        )
        self.at_rest()

    def test_the_end_of_an_execution_that_is_over_is_not_sent_again(self) -> None:
        self.add(DONE)
        self.refuse_for_ever()
        self.reports.drop(key("a"))
        self.clock.advance(SECOND_CHANCE)
        self.at_rest()

    def test_given_up_and_closed(self) -> None:
        self.add(DONE)
        self.refuse_for_ever()
        self.reports.close()
        self.at_rest()

    def test_progress_of_the_work_is_given_up_too(self) -> None:
        self.add(START)
        self.refuse_for_ever()
        self.assertEqual(self.taken(), [("given up", "a", "download_start"), ("done",)])
        self.at_rest()

    def test_the_announcement_of_the_restart_does_not_hold_up_others_for_ever(self) -> None:
        self.add(REBOOT)
        self.add(START, to=execution("b"))
        self.refuse_for_ever()
        self.assertEqual(self.taken(), [("given up", "a", "reboot_start")])
        self.accept()
        self.assertEqual(self.taken(), [("delivered", "b", "download_start"), ("done",)])

    def test_dropped(self) -> None:
        self.add(REBOOT)
        self.reject("SomethingNew")
        self.add(START, to=execution("b"))
        self.add(START)
        self.reports.drop(key("a"))
        self.accept()
        self.assertEqual(self.taken(), [("delivered", "b", "download_start"), ("done",)])
        self.at_rest()

    def test_the_last_one_dropped(self) -> None:
        self.add(REBOOT)
        self.session.one()
        self.reports.drop(key("b"))
        self.assertEqual(self.taken(), [])
        self.reports.drop(key("a"))
        self.assertEqual(self.taken(), [("done",)])
        self.at_rest()

    def test_wrong_progress_is_dropped(self) -> None:
        self.add(progress(1))
        self.reject("InvalidJson")
        self.assertEqual(self.taken(), [("given up", "a", "download_progress"), ("done",)])
        self.at_rest()

    def test_throttled(self) -> None:
        self.add(START)
        first = self.reject("RequestThrottled")
        self.clock.advance(2)
        self.assertEqual(self.accept(), first)
        self.at_rest()


class UndeliveredTests(ReportsBench):
    def test_what_ends_an_execution_is_remembered_until_it_is_accepted(self) -> None:
        self.add(START, progress(1), REBOOT)
        self.assertEqual(self.taken(), [])
        self.add(DONE)
        self.assertEqual(self.taken(), [("add", "a", "complete_ready")])
        for _ in range(3):
            self.accept()
        self.assertNotIn(("remove", "a"), self.taken())
        self.accept()
        self.assertEqual(
            self.taken(), [("remove", "a"), ("delivered", "a", "complete_ready"), ("done",)]
        )

    def test_remembered_without_a_session(self) -> None:
        self.session.lose()
        self.add(FAILED)
        self.assertEqual(self.taken(), [("add", "a", "download_failed")])


class FirstWordTests(ReportsBench):
    """The end of an execution is the first that AWS hears of it. Another one that was made in its
    place while there was no connection has the same number and version."""

    queued = replace(execution(), version_number=1)

    def end(self, execution: JobExecution) -> None:
        self.reports.add(execution, FAILED)

    def describe(self) -> Published:
        request = self.session.one()
        self.assertEqual(request.topic, "$aws/things/T/jobs/a/get")
        self.assertFalse(request.payload["includeJobDocument"])
        return request

    def answer(self, request: Published, queued_at: int) -> None:
        found = {"jobId": "a", "status": "QUEUED", "queuedAt": queued_at, "versionNumber": 1}
        self.session.accept(request, execution={**found, "executionNumber": 1})

    def test_over_the_same_connection_it_is_told_at_once(self) -> None:
        self.reports.note_named(self.queued.key)
        self.end(self.queued)
        self.assertEqual(self.accept().payload["status"], "FAILED")

    def test_it_is_the_same_one(self) -> None:
        self.session.lose()
        self.end(self.queued)
        self.session.connect()
        self.answer(self.describe(), 100)
        self.assertEqual(self.accept().payload["status"], "FAILED")
        self.assertIn(("delivered", "a", "download_failed"), self.taken())

    def test_it_is_another_one(self) -> None:
        for waits in (False, True):
            self.reports.note_named(self.queued.key)
            if waits:  # behind another report, over two connections
                self.add(START, to=execution("b", status=Status.IN_PROGRESS))
            else:
                self.session.lose()
            self.end(self.queued)
            if waits:
                self.session.taken()
                self.session.lose()
            self.session.connect()
            if waits:
                self.accept()
            self.taken()
            self.answer(self.describe(), 200)
            self.assertEqual(
                self.taken(), [("remove", "a"), ("over", "a"), ("done",)], "and no update was sent"
            )
            self.assertEqual(self.session.taken(), [])

    def test_it_was_named_before_the_connection(self) -> None:
        self.reports.note_named(self.queued.key)
        self.session.lose()
        self.session.connect()
        self.end(self.queued)
        self.answer(self.describe(), 200)
        self.assertEqual(self.session.taken(), [])

    def test_only_the_last_ones_are_known(self) -> None:
        for number in range(NAMED + 1):
            self.reports.note_named(key("b", number))
        for number, asked in ((NAMED, "update"), (0, "get")):
            self.end(replace(self.queued, key=key("b", number)))
            request = self.session.one()
            self.assertEqual(request.topic.rpartition("/")[2], asked)
            self.session.accept(request)

    def test_the_answer_is_lost(self) -> None:
        self.reports.note_named(self.queued.key)
        self.end(self.queued)
        self.session.one()
        self.session.lose()
        self.session.connect()
        request = self.describe()
        self.session.lose()
        self.session.connect()
        self.answer(self.describe(), 200)
        self.assertNotIn("delivered", [each[0] for each in self.taken()])
        self.assertEqual(request.topic, "$aws/things/T/jobs/a/get")

    def test_aws_does_not_describe_it(self) -> None:
        """Perhaps it has heard the end, and its answer was lost."""
        self.session.lose()
        self.end(self.queued)
        self.session.connect()
        self.session.reject(self.describe(), "TerminalStateReached")
        self.session.reject(self.session.one(), "VersionMismatch", **state_of(FAILED, 2))
        self.assertIn(("delivered", "a", "download_failed"), self.taken())

    def test_a_description_that_makes_no_sense(self) -> None:
        self.session.lose()
        self.end(self.queued)
        self.session.connect()
        self.session.accept(self.describe(), execution="nonsense")
        self.assertEqual(self.accept().payload["status"], "FAILED")

    def test_what_has_begun_needs_no_question(self) -> None:
        self.session.lose()
        self.end(replace(self.queued, version_number=2))
        self.session.connect()
        self.assertEqual(self.accept().payload["expectedVersion"], 2)


class BeforeTheEndTests(ReportsBench):
    """Something is done before the end of an execution is reported."""

    def setUp(self) -> None:
        super().setUp()
        self.waits: list[Deferred[None]] = []
        self.reports = ReportQueue(
            self.clock,
            self.requests,
            Topics("T"),
            self.interval,
            self.listener,
            FakeUndelivered(self.told),
            self.before_end,
        )

    def before_end(self, execution: JobExecution, report: Report) -> Deferred[None]:
        self.told.append(("before end", execution.job_id, report.state.value))
        self.waits.append(Deferred())
        return self.waits[-1]

    def test_the_report_is_remembered_and_waits(self) -> None:
        self.add(START, FAILED)
        self.accept()
        self.assertEqual(
            self.taken(),
            [
                ("add", "a", "download_failed"),
                ("delivered", "a", "download_start"),
                ("before end", "a", "download_failed"),
            ],
        )
        self.assertEqual(self.session.taken(), [])
        self.assertFalse(self.reports.empty)
        self.waits[0].callback(None)
        self.accept()
        self.at_rest()

    def test_only_ends_wait(self) -> None:
        self.add(START, REBOOT)
        self.accept()
        self.accept()
        self.assertEqual(self.waits, [])

    def test_it_is_done_once(self) -> None:
        self.add(FAILED)
        self.waits[0].callback(None)
        self.reject("ResourceNotFound")
        self.clock.advance(NOT_FOUND_RETRY_INTERVAL)
        self.accept()
        self.assertEqual(len(self.waits), 1)
        self.at_rest()

    def test_later_reports_wait_too(self) -> None:
        self.add(FAILED)
        self.add(START, to=execution("b"))
        self.assertEqual(self.session.taken(), [])
        self.waits[0].callback(None)
        self.accept()
        self.assertEqual(self.sent(), [("b", "download_start")])

    def test_dropped_meanwhile(self) -> None:
        self.add(FAILED)
        self.add(START, to=execution("b"))
        self.reports.drop(key("a"))
        self.assertTrue(self.waits[0].called)
        self.assertEqual(self.sent(), [("b", "download_start")])

    def test_closed_meanwhile(self) -> None:
        self.add(FAILED)
        self.reports.close()
        self.assertTrue(self.waits[0].called)
        self.assertEqual(self.taken()[0], ("add", "a", "download_failed"))
        self.assertEqual(self.session.taken(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WithoutIntervalTests(ReportsBench):
    interval = 0.0

    def test_all_progress_goes_through(self) -> None:
        for count in (1, 2):
            self.add(progress(count))
            self.accept()
        self.at_rest()
