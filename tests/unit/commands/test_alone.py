"""``upparat install`` where no agent runs, up to the reactor."""

from __future__ import annotations

import os
from dataclasses import replace

from twisted.internet.task import Clock

from tests.support.ports import key
from tests.unit.commands.asking_bench import imported_by
from tests.unit.commands.bench import CommandBench
from tests.unit.control.bench import NOON, PAST, FakeAgent
from upparat.byhand.spool import InstallSpool
from upparat.commands import run
from upparat.commands.alone import AloneInstall, install_alone
from upparat.config.reader import load
from upparat.control.client import AskingFailed
from upparat.control.desk import Desk
from upparat.control.history import History
from upparat.control.protocol import InstallRequest
from upparat.job import LOCAL, ExecutionKey, JobExecution, Report, State, Status
from upparat.snapshots import EndedJob
from upparat.storage.record import FileRecord

ORDER = InstallRequest("/media/app.bin", 0, {"version": "2.0", "size": 1})
BY_HAND = ExecutionKey(f"{LOCAL}1", 1, 100)


class BeforeTests(CommandBench):
    """What is refused before the agent runs. ``run_offline`` is never reached."""

    def setUp(self) -> None:
        super().setUp()
        self.state = load(self.config).service.state_dir
        self.patch(run, "run_offline", None)

    def refusal(self, order: InstallRequest | None) -> tuple[int, str]:
        failed = self.assertRaises(AskingFailed, install_alone, str(self.config), order)
        return failed.status, str(failed)

    def record(self, which: ExecutionKey) -> None:
        record = FileRecord(self.state)
        record.load()
        record.working(which)

    def spool(self, status: Status) -> None:
        InstallSpool(self.state).save(JobExecution(BY_HAND, status, 0, document={}))

    def test_a_job_of_aws_in_hand(self) -> None:
        self.record(key("job-1"))
        self.spool(Status.QUEUED)
        for order in (ORDER, None):
            self.assertEqual(
                self.refusal(order), (75, "job job-1 is in hand: it waits for its agent")
            )

    def test_an_install_that_is_not_over(self) -> None:
        self.record(BY_HAND)
        for status in (Status.QUEUED, Status.IN_PROGRESS, Status.SUCCEEDED):
            self.spool(status)
            self.assertEqual(self.refusal(ORDER), (75, f"{LOCAL}1 is not over yet: see --wait"))

    def test_an_install_whose_cleanup_is_not_over(self) -> None:
        record = FileRecord(self.state)
        record.load()
        record.add(JobExecution(BY_HAND, Status.IN_PROGRESS, 0), Report(State.DOWNLOAD_FAILED))
        self.assertEqual(self.refusal(ORDER), (75, f"{LOCAL}1 is not over yet: see --wait"))

    def test_the_last_one_is_over(self) -> None:
        self.spool(Status.SUCCEEDED)
        self.assertEqual(self.refusal(None), (1, "nothing was installed by hand of late"))
        history = History(self.state, lambda: NOON)
        history.add(EndedJob(BY_HAND, "2.0", "FAILED", "version_mismatch", "why"))
        history.add(EndedJob(key("job-1"), "3.0", "SUCCEEDED", "complete_ready", "none"))
        past = install_alone(str(self.config), None)
        self.assertEqual((past["id"], past["status"]), (f"{LOCAL}1", "FAILED"))

    def test_the_directories_of_another_user(self) -> None:
        self.record(BY_HAND)
        self.patch(os, "geteuid", lambda: self.state.stat().st_uid + 1)
        status, told = self.refusal(ORDER)
        self.assertEqual(status, 77)
        self.assertIn("run the command as that user", told)

    def test_the_directories_are_given_back(self) -> None:
        self.refusal(None)
        self.refusal(None)

    def test_the_agent_is_imported_when_it_is_needed(self) -> None:
        self.assertEqual(
            {"upparat.service", "twisted.internet"} & imported_by("install", "--wait"), set()
        )


class AloneInstallTests(CommandBench):
    def setUp(self) -> None:
        super().setUp()
        self.agent = FakeAgent()
        self.clock = Clock()
        self.desk = Desk(
            self.clock,
            self.agent.builder(),
            lambda: False,
            None,
            self.agent.decisions,
            self.agent.installs,
        )
        self.stops = 0

    def stop(self) -> None:
        self.stops += 1

    def begun(self, order: InstallRequest | None = ORDER) -> AloneInstall:
        self.agent.install = f"{LOCAL}1"
        install = AloneInstall(order)
        install.begin(self.desk, self.stop)
        return install

    def test_it_stops_when_nothing_is_left_to_do(self) -> None:
        install = self.begun(None)
        self.agent.history = (replace(PAST, id=f"{LOCAL}1", status="FAILED"),)
        self.clock.advance(1)  # its cleanup hook still runs
        self.assertEqual(self.stops, 0)
        self.agent.install = None
        self.clock.advance(1)
        self.assertEqual(self.stops, 1)
        self.assertEqual(install.end()["status"], "FAILED")

    def test_it_is_stopped_before(self) -> None:
        failed = self.assertRaises(AskingFailed, self.begun(None).end)
        self.assertEqual(failed.status, 75)

    def test_a_refusal(self) -> None:
        for raised, status in ((PermissionError("no"), 77), (ValueError("no"), 1)):
            self.agent.installs.problem = raised
            install = self.begun()
            failed = self.assertRaises(AskingFailed, install.end)
            self.assertEqual((failed.status, str(failed)), (status, "no"))
        self.assertEqual(self.stops, 2)

    def test_an_install_that_nobody_knows(self) -> None:
        self.agent.install = None
        install = AloneInstall(None)
        install.begin(self.desk, self.stop)
        self.assertEqual((self.assertRaises(AskingFailed, install.end).status, self.stops), (1, 1))

    def test_a_status_that_cannot_be_made(self) -> None:
        self.begun(None).drop()
        self.assertEqual(self.stops, 1)
