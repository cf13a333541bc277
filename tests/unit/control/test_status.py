"""The status message, of the snapshots of an agent in each phase."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from tests.unit.control.bench import JOB, PAST, RETRY, RUNNING, FakeAgent, check
from upparat.control.status import steady
from upparat.job import Hook
from upparat.snapshots import (
    ConnectionSnapshot,
    DownloadSnapshot,
    HookSnapshot,
    JobSnapshot,
    Wait,
    WaitKind,
)


class StatusTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.agent = FakeAgent()
        self.directory = Path(self.mktemp()).absolute()

    def status(self) -> Any:
        status = self.agent.builder(self.directory).build()
        check(status)
        return status

    def waiting(self) -> list[dict[str, Any]]:
        waiting: list[dict[str, Any]] = self.status()["waiting"]
        return waiting

    def test_at_rest(self) -> None:
        status = self.status()
        free = status["disk"].pop("free")
        self.assertGreater(free, 0)
        self.assertEqual(
            status,
            {
                "protocol": 1,
                "type": "status",
                "time": "2027-01-15T08:00:00+00:00",
                "agent": {
                    "version": "2.0.0",
                    "pid": os.getpid(),
                    "started": "2027-01-15T08:00:00+00:00",
                },
                "thing": "device-1",
                "connection": {
                    "host": "broker",
                    "port": 8883,
                    "connected": True,
                    "since": "2027-01-15T07:59:00+00:00",
                    "seconds": 60.0,
                    "problem": None,
                },
                "state": "monitor",
                "job": None,
                "install": None,
                "download": None,
                "hook": None,
                "waiting": [],
                "history": [],
                "disk": {"directory": str(self.directory), "used": 0},
            },
        )

    def test_no_connection(self) -> None:
        self.agent.connection = ConnectionSnapshot(problem="refused", retry=90.0)
        status = self.status()
        self.assertFalse(status["connection"]["connected"])
        self.assertEqual(status["connection"]["problem"], "refused")
        self.assertEqual(
            status["waiting"],
            [
                {
                    "for": "connection",
                    "why": "refused",
                    "until": "2027-01-15T08:01:30+00:00",
                    "seconds": 90.0,
                    "limit": None,
                    "limit_seconds": None,
                }
            ],
        )

    def test_a_job(self) -> None:
        self.agent.job = JOB
        self.assertEqual(
            self.status()["job"],
            {
                "id": "job-1",
                "execution": 3,
                "queued": "2027-01-15T07:43:20+00:00",
                "version": "2.0",
                "force": True,
                "size": 2000,
            },
        )

    def test_a_time_that_no_calendar_has(self) -> None:
        self.agent.job = JobSnapshot(key(queued_at=10**30), "2.0", False, None)
        self.assertIsNone(self.status()["job"]["queued"])

    def test_a_download(self) -> None:
        self.agent.download = DownloadSnapshot(500, 2000, 100.4)
        expected = {"bytes": 500, "total": 2000, "rate": 100, "remaining_seconds": 14.9}
        self.assertEqual(self.status()["download"], expected)
        for snapshot in (DownloadSnapshot(500, None, 100.0), DownloadSnapshot(0, 100, 0.0)):
            self.agent.download = snapshot
            self.assertIsNone(self.status()["download"]["remaining_seconds"])

    def test_a_download_that_waits(self) -> None:
        wait = Wait(WaitKind.DOWNLOAD, "at https://s3/f?secret", 4.0)
        self.agent.download = DownloadSnapshot(500, 2000, wait=wait)
        [waiting] = self.waiting()
        self.assertEqual((waiting["for"], waiting["why"]), ("download", "at https://s3/f?…"))

    def test_a_hook(self) -> None:
        self.agent.hook = RUNNING
        self.assertEqual(
            self.status()["hook"],
            {
                "name": "install",
                "run": 2,
                "running": True,
                "seconds": 12.3,
                "timeout": 3600.0,
                "remaining_seconds": 3587.7,
            },
        )

    def test_the_schema_knows_each_hook(self) -> None:
        for hook in Hook:
            self.agent.hook = HookSnapshot(hook, 1, 3600.0, seconds=1.0)
            self.assertEqual(self.status()["hook"]["name"], hook.value)

    def test_a_hook_that_waits(self) -> None:
        self.agent.hook = HookSnapshot(Hook.INSTALL, 2, 3600.0, wait=RETRY)
        self.assertFalse(self.status()["hook"]["running"])
        self.assertEqual(self.waiting()[0]["for"], "hook_retry")

    def test_the_machine_waits(self) -> None:
        self.agent.pause = Wait(WaitKind.RESTART_TIMEOUT, "the version is '1'", 60.0, 300.0)
        [waiting] = self.waiting()
        self.assertEqual(waiting["limit"], "2027-01-15T08:05:00+00:00")
        self.assertEqual(waiting["limit_seconds"], 300.0)

    def test_the_restart_waits_for_aws(self) -> None:
        self.agent.state = "restart"
        self.assertEqual(self.waiting()[0]["for"], "restart_accepted")
        self.agent.hook = HookSnapshot(Hook.RESTART, 1, 3600.0, seconds=1.0)
        self.assertEqual(self.waiting(), [])

    def test_the_start_waits_for_hooks_of_an_earlier_agent(self) -> None:
        self.agent.state = "idle"
        self.assertEqual(self.waiting()[0]["for"], "earlier_hook")

    def test_the_history(self) -> None:
        self.agent.history = (PAST,)
        [past] = self.status()["history"]
        self.assertEqual((past["id"], past["status"], past["time"]), ("job-0", "FAILED", PAST.time))

    def test_the_files_in_the_directory(self) -> None:
        self.directory.mkdir()
        (self.directory / "job-1.part").write_bytes(bytes(100_000))
        (self.directory / "link").symlink_to("job-1.part")
        (self.directory / "below").mkdir()
        used = self.status()["disk"]["used"]
        self.assertTrue(100_000 <= used < 120_000, used)


class SteadyTests(SynchronousTestCase):
    def test_time_alone_is_no_change(self) -> None:
        agent = FakeAgent()
        agent.hook, agent.job = RUNNING, JOB
        builder = agent.builder()
        before = builder.build()
        agent.now += 60
        agent.hook = HookSnapshot(Hook.INSTALL, 2, 3600.0, seconds=72.0, remaining=3528.0)
        agent.connection = ConnectionSnapshot(seconds=120.0)
        after = builder.build()
        self.assertNotEqual(before, after)
        self.assertEqual(steady(before), steady(after))

    def test_changes(self) -> None:
        agent = FakeAgent()
        before = agent.builder().build()
        agent.download = DownloadSnapshot(1)
        self.assertNotEqual(steady(before), steady(agent.builder().build()))
