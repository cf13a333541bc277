"""Executions of two sources: one at a time, and none of it is lost."""

from __future__ import annotations

import errno
from unittest import mock

from twisted.logger import capturedLogs

from tests.support.ports import execution
from tests.unit.byhand.bench import AWS, INSTALL, KEY, InstallBench
from upparat.byhand.spool import NAME
from upparat.job import JobExecutionSummary, Report, State, Status
from upparat.snapshots import Wait, WaitKind

SUCCESS = Report(State.COMPLETE_READY)
FAILURE = Report(State.DOWNLOAD_FAILED, "why")


class OneAtATimeTests(InstallBench):
    def test_aws_alone(self) -> None:
        self.jobs.fetch()
        self.jobs.pending([], [JobExecutionSummary(AWS, Status.QUEUED)])
        self.jobs.describe("job-1")
        job = execution("job-1")
        self.jobs.described(job)
        self.jobs.follow(job)
        self.jobs.report(job, SUCCESS)
        self.jobs.unfollow()
        self.assertEqual(
            self.asked(),
            [
                ("fetch",),
                ("describe", "job-1"),
                ("follow", "job-1"),
                ("report", "job-1", "complete_ready", "none"),
                ("unfollow",),
            ],
        )
        self.jobs.delivered(State.DOWNLOAD_START)
        self.jobs.undeliverable(State.DOWNLOAD_START)
        self.jobs.cancelled()
        self.assertEqual(
            self.heard(),
            [
                ("pending", [], ["job-1"]),
                ("described", "job-1", "QUEUED"),
                ("delivered", "download_start"),
                ("undeliverable", "download_start"),
                "cancelled",
            ],
        )

    def test_an_install_alone(self) -> None:
        self.jobs.begin(INSTALL)
        self.assertEqual(self.heard(), ["changed"])
        self.jobs.fetch()
        self.jobs.describe("local@1")
        self.jobs.follow(INSTALL)
        self.occupied = KEY
        self.jobs.report(INSTALL, Report(State.DOWNLOAD_START))
        self.assertEqual(
            self.heard(),
            [
                ("pending", [], ["local@1"]),
                ("described", "local@1", "QUEUED"),
                ("delivered", "download_start"),
            ],
        )
        self.jobs.report(INSTALL, SUCCESS)
        self.assertEqual((self.heard(), self.asked()), ([], []))
        self.jobs.fetch()
        self.assertEqual(self.jobs.in_hand_id(), None)

    def test_a_list_that_does_not_come(self) -> None:
        """Without a network AWS answers nothing, and later something that nobody asks any more."""
        self.jobs.fetch()
        self.jobs.begin(INSTALL)
        self.jobs.fetch()  # as the machine does
        self.assertEqual(self.heard(), ["changed", ("pending", [], ["local@1"])])
        self.jobs.pending([], [JobExecutionSummary(AWS, Status.QUEUED)])
        self.assertEqual(self.heard(), [])

    def test_a_description_that_does_not_come(self) -> None:
        self.jobs.describe("job-1")
        self.jobs.begin(INSTALL)
        self.assertEqual(self.heard(), ["changed", ("describe_failed", "job-1", False)])
        self.jobs.describe("job-2")  # the next one of the list
        self.assertEqual(self.heard(), [("describe_failed", "job-2", False)])
        self.jobs.described(execution("job-1"))
        self.jobs.describe_failed("job-1", True)
        self.assertEqual(self.heard(), [])

    def test_a_job_is_in_hand(self) -> None:
        self.occupied = AWS
        self.jobs.describe("job-1")  # for a fresh URL
        self.jobs.begin(INSTALL)
        self.assertEqual(self.heard(), ["changed"])
        self.jobs.described(execution("job-1"))
        self.assertEqual(self.heard(), [("described", "job-1", "QUEUED")])
        self.jobs.fetch()
        self.assertEqual(self.asked()[-1], ("fetch",))
        why = "local@1 waits until job job-1 is over"
        self.assertEqual(self.jobs.wait(), Wait(WaitKind.OTHER_JOB, why))
        self.occupied = None
        why = "local@1 waits until the agent is ready"
        self.assertEqual(self.jobs.wait(), Wait(WaitKind.OTHER_JOB, why))
        self.jobs.fetch()
        self.assertEqual(self.heard(), [("pending", [], ["local@1"])])
        self.occupied = KEY
        self.assertEqual(self.jobs.wait(), None)

    def test_the_job_has_ended_while_the_agent_was_away(self) -> None:
        """The machine drops it, and would wait for news of AWS."""
        self.jobs.begin(INSTALL)
        for ended in (True, False):
            self.jobs = self.start(AWS)
            self.jobs.fetch()
            self.jobs.describe("job-1")
            self.occupied = None if ended else AWS
            self.jobs.describe_failed("job-1", ended)
            offered = ["changed"] if ended else []
            self.assertEqual(self.heard(), [("describe_failed", "job-1", ended), *offered])
        self.jobs.describe("job-1")
        self.occupied = None
        self.jobs.described(execution("job-1", Status.CANCELED))
        self.assertEqual(self.heard(), [("described", "job-1", "CANCELED"), "changed"])

    def test_nothing_waits(self) -> None:
        self.assertEqual(self.jobs.wait(), None)


class CrashTests(InstallBench):
    def begun(self) -> None:
        self.jobs.begin(INSTALL)
        self.jobs.report(INSTALL, Report(State.REBOOT_START))

    def test_one_that_waited(self) -> None:
        self.jobs.begin(INSTALL)
        self.jobs = self.start()
        self.jobs.fetch()
        self.assertEqual(self.heard(), [("pending", [], ["local@1"])])

    def test_one_that_was_begun(self) -> None:
        self.begun()
        for remembered in (KEY, None):  # the record may be lost
            self.jobs = self.start(remembered)
            self.jobs.fetch()
            self.assertEqual(self.heard(), [("pending", ["local@1"], [])])
        self.jobs.describe("local@1")
        self.assertEqual(self.heard(), [("described", "local@1", "IN_PROGRESS")])
        self.assertEqual(self.spool.load().details["state"], "reboot_start")  # type: ignore[union-attr]

    def test_one_that_is_lost(self) -> None:
        """The record still names it: the machine has to know that it is over."""
        self.jobs = self.start(KEY)
        self.jobs.fetch()
        self.jobs.describe("local@1")
        self.assertEqual(self.heard(), [("pending", [], []), ("describe_failed", "local@1", True)])
        self.assertEqual(self.asked(), [])

    def test_the_end_is_kept_until_nothing_is_left_to_do(self) -> None:
        self.begun()
        self.jobs.report(INSTALL, FAILURE)
        self.assertEqual(self.ends.owed, {KEY: State.DOWNLOAD_FAILED})
        self.assertEqual(self.jobs.in_hand_id(), "local@1")
        self.jobs.fetch()
        self.assertEqual((self.ends.owed, self.spool.load()), ({}, None))
        self.assertEqual(self.jobs.in_hand_id(), None)

    def test_a_crash_at_the_end(self) -> None:
        """The record says what is owed, and what is doubted."""
        self.begun()
        self.jobs.report(INSTALL, FAILURE)
        self.jobs = self.start(None)
        self.assertEqual(self.spool.load(), None)
        self.jobs.report(INSTALL, FAILURE)  # as the service does
        self.jobs.fetch()
        self.assertEqual((self.ends.owed, self.spool.load()), ({}, None))
        self.assertEqual(self.asked(), [("fetch",)])

    def test_a_success_that_is_doubted(self) -> None:
        self.begun()
        self.jobs.report(INSTALL, SUCCESS)
        self.jobs = self.start(KEY)
        self.jobs.fetch()
        self.jobs.describe("local@1")
        self.assertEqual(
            self.heard(),
            [("pending", ["local@1"], []), ("described", "local@1", "IN_PROGRESS")],
        )

    def test_progress_is_not_written(self) -> None:
        self.begun()
        before = (self.directory / NAME).stat().st_ino
        self.jobs.report(INSTALL, Report(State.INSTALLATION_PROGRESS, "50 %"))
        self.assertEqual((self.directory / NAME).stat().st_ino, before)

    def test_a_disk_that_refuses(self) -> None:
        self.jobs.begin(INSTALL)
        (self.directory / NAME).unlink()
        self.directory.rmdir()
        self.directory.touch()
        with capturedLogs() as logs:
            self.jobs.report(INSTALL, Report(State.DOWNLOAD_START))
            self.jobs.report(INSTALL, SUCCESS)
            self.jobs.fetch()
        self.assertEqual(self.heard(), ["changed", ("delivered", "download_start")])
        self.assertEqual(len(logs), 3)

    def test_its_order_goes_as_soon_as_the_disk_lets_it(self) -> None:
        """Or it would be taken for an install to go on with."""
        self.jobs.begin(INSTALL)
        self.jobs.report(INSTALL, SUCCESS)
        with mock.patch("os.unlink", side_effect=OSError(errno.EROFS, "read-only")):
            self.jobs.fetch()
        self.assertTrue((self.directory / NAME).exists())
        self.jobs.fetch()
        self.assertFalse((self.directory / NAME).exists())
