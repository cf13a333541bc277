"""Which execution an event belongs to, and how its log is read and followed."""

from __future__ import annotations

import threading

from twisted.logger import LogEvent
from twisted.python.failure import Failure

from tests.unit.joblog.bench import A, B, LogsTestCase
from upparat.job import ExecutionKey


class OwnerTests(LogsTestCase):
    def test_the_first_line_names_the_agent_and_the_execution(self) -> None:
        self.in_hand = B
        self.log.info("one")
        first, line = self.logs.read("b").splitlines()
        self.assertTrue(first.endswith(f"Upparat 9 for thing: job {B.job_id}, execution 2"))
        self.assertTrue(line.endswith("[upparat.test#info] one"))

    def test_events_of_the_execution_in_hand(self) -> None:
        self.log.info("{job_id}: of it", job_id="a")
        self.log.info("of the device")
        self.log.info("{job_id}: of another", job_id="b")
        self.assertEqual(
            self.said("a"), ["[upparat.test#info] a: of it", "[upparat.test#info] of the device"]
        )

    def test_nothing_in_hand(self) -> None:
        self.in_hand = None
        self.log.info("of the device")
        self.log.info("{job_id}: of a job", job_id="a")
        self.assertEqual(self.logs.executions(), [])
        self.assertFalse(self.path.exists())

    def test_reports_come_after_the_end(self) -> None:
        self.log.info("{job_id}: done", job_id="a")
        self.in_hand = None
        self.log.info("{job_id}: reported", job_id="a")
        self.log.info("of the device")
        self.assertEqual(
            self.said(), ["[upparat.test#info] a: done", "[upparat.test#info] a: reported"]
        )

    def test_an_event_that_names_its_execution(self) -> None:
        """Such as the rejection of a document, which was never in hand."""
        self.log.info("{job_id}: rejected", job_id="b", execution=B)
        self.log.info("{job_id}: of it", job_id="a")
        self.assertEqual(self.logs.executions(), [("b", 2), ("a", 1)])
        self.assertEqual(self.said("b"), ["[upparat.test#info] b: rejected"])

    def test_over_a_restart(self) -> None:
        self.log.info("before")
        self.logs.stop()
        self.logs = self.started()
        self.log.info("after")
        self.assertEqual(self.said(), ["[upparat.test#info] before", "[upparat.test#info] after"])

    def test_a_job_that_was_created_anew(self) -> None:
        self.log.info("old")
        self.in_hand = A._replace(queued_at=101)
        self.log.info("new")
        self.assertEqual(self.logs.executions(), [("a", 1), ("a", 1)])
        self.assertEqual(self.said("a"), ["[upparat.test#info] new"])
        self.assertIn(b"old", self.logs.content(A))

    def test_back_and_forth(self) -> None:
        for key in (A, B, A):
            self.in_hand = key
            self.log.info("of {job_id}", job_id=key.job_id)
        self.assertEqual(len(self.said("a")), 2)
        self.assertEqual(self.logs.executions(), [("a", 1), ("b", 2)])

    def test_other_namespaces_and_debug(self) -> None:
        self.logger("twisted.web").info("noise")
        self.log.debug("detail")
        self.assertEqual(self.logs.executions(), [])

    def test_an_event_without_a_text(self) -> None:
        self.log.info("")
        self.assertEqual(self.logs.executions(), [])
        self.log.info("one")
        self.log.info("")
        self.log.info("two")
        self.assertEqual(self.said(), ["[upparat.test#info] one", "[upparat.test#info] two"])

    def test_output_of_a_hook(self) -> None:
        self.log.debug("{line}", hook="install", line="erasing", stream="stdout", job_id="a")
        self.log.warn("{line}", line="once more", repeats=True, job_id="a")
        self.assertEqual(self.said(), ["[install#stdout] erasing"])

    def test_another_thread_hands_its_events_over(self) -> None:
        thread = threading.Thread(target=lambda: self.log.info("from a thread"))
        thread.start()
        thread.join()
        self.assertEqual(self.logs.executions(), [])
        [call] = self.threads.calls
        call()
        self.assertEqual(self.said(), ["[upparat.test#info] from a thread"])

    def test_after_the_stop(self) -> None:
        self.log.info("one")
        self.logs.stop()
        self.log.info("two")
        self.assertEqual(self.said(), ["[upparat.test#info] one"])


class ReadTests(LogsTestCase):
    def test_unknown(self) -> None:
        self.assertRaises(LookupError, self.logs.read)
        self.assertRaises(LookupError, self.logs.read, "a")
        self.log.info("one")
        self.assertRaises(LookupError, self.logs.read, "b")
        self.assertEqual(self.logs.content(B), b"")

    def test_the_newest(self) -> None:
        for number in (1, 2):
            self.in_hand = ExecutionKey("a", number, 0)
            self.log.info("{number}", number=number)
        self.in_hand = B
        self.log.info("3")
        self.assertEqual(self.said(), ["[upparat.test#info] 3"])
        self.assertEqual(self.said("a"), ["[upparat.test#info] 2"])
        self.assertEqual(self.logs.executions(), [("a", 1), ("a", 2), ("b", 2)])

    def test_a_directory_of_others(self) -> None:
        self.log.info("one")
        self.path.chmod(0o770)
        self.assertEqual(self.logs.executions(), [])
        self.assertRaises(LookupError, self.logs.read, "a")
        self.assertEqual(self.logs.content(A), b"")


class SubscriberTests(LogsTestCase):
    def test_each_line(self) -> None:
        lines: list[str] = []
        unsubscribe = self.logs.subscribe(lines.append)
        self.log.info("one")
        self.log.failure("two", _failure())
        self.assertTrue(lines[0].endswith("[upparat.test#info] one"))
        self.assertTrue(lines[1].endswith("[upparat.test#critical] two"))
        self.assertGreater(len(lines), 3)
        self.assertTrue(all("\n" not in line for line in lines))
        count = len(lines)
        unsubscribe()
        unsubscribe()
        self.log.info("three")
        self.assertEqual(len(lines), count)
        self.flushLoggedErrors(ValueError)

    def test_one_that_logs(self) -> None:
        lines: list[str] = []

        def chatty(line: str) -> None:
            lines.append(line)
            self.log.info("heard {line}", line=line)

        self.logs.subscribe(chatty)
        self.log.info("one")
        self.assertEqual(len(lines), 1)
        self.assertEqual(self.said(), ["[upparat.test#info] one"])

    def test_one_that_raises(self) -> None:
        def broken(line: str) -> None:
            raise RuntimeError(line)

        lines: list[str] = []
        self.patch(self.logs, "log", self.logger("upparat.joblog"))
        self.logs.subscribe(broken)
        self.logs.subscribe(lines.append)
        self.log.info("one")
        self.log.info("two")
        self.assertEqual(len(lines), 2)
        self.assertEqual(len(self.said()), 2)


class TroubleTests(LogsTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[LogEvent] = []
        self.patch(self.logs, "log", self.logger("upparat.joblog"))
        self.publisher.addObserver(self.events.append)  # type: ignore[arg-type]

    def complaints(self) -> list[str]:
        return [str(each["problem"]) for each in self.events if "problem" in each]

    def test_a_directory_that_cannot_be_made(self) -> None:
        self.path.parent.parent.mkdir()
        self.path.parent.touch(mode=0o600)
        for _ in range(3):
            self.log.info("one")
        self.assertEqual(len(self.complaints()), 1)
        self.in_hand = B
        self.log.info("one")
        self.assertEqual(len(self.complaints()), 2)
        self.assertEqual(len(self.events), 6)

    def test_an_unfit_job_id(self) -> None:
        self.in_hand = ExecutionKey("../a", 1, 0)
        self.log.info("one")
        self.assertEqual(len(self.complaints()), 1)
        self.assertFalse(self.path.exists())

    def test_it_goes_on_when_there_is_room_again(self) -> None:
        self.path.parent.parent.mkdir()
        self.path.parent.touch(mode=0o600)
        self.log.info("one")
        self.path.parent.unlink()
        self.log.info("two")
        self.assertEqual(self.said(), ["[upparat.test#info] two"])


def _failure() -> Failure:
    try:
        raise ValueError
    except ValueError:
        return Failure()
