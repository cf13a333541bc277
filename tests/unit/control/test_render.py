"""The status as text: golden tables, lines and values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.control.bench import JOB, PAST, RETRY, RUNNING, FakeAgent
from upparat.control.history import PastJob
from upparat.control.render import line, progress, rows, size, span
from upparat.job import Hook
from upparat.snapshots import ConnectionSnapshot, DownloadSnapshot, HookSnapshot, Wait, WaitKind

SUCCESS = PastJob(
    "job-9", 1, 6, "2.0", "SUCCEEDED", "complete_ready", "none", "2027-01-15T07:30:00+00:00"
)
OTHERS = PastJob("job-8", 1, 6, "", "", "ended_by_others", "x", "2027-01-15T07:00:00+00:00")


class Tables(SynchronousTestCase):
    def setUp(self) -> None:
        self.agent = FakeAgent()

    def status(self) -> Any:
        status: Any = self.agent.builder(Path("/var/downloads")).build()
        status["disk"] |= {"free": 12_340_000_000, "used": 0}
        return status

    def table(self, age: float = 0.0) -> list[str]:
        return [f"{row.label:9} {row.text}" for row in rows(self.status(), age)]


class TableTests(Tables):
    def test_at_rest(self) -> None:
        self.agent.history = (SUCCESS, OTHERS, PAST)
        self.assertEqual(
            self.table(),
            [
                "Agent     2.0.0 for device-1",
                "Broker    broker:8883, for 1 min",
                "State     monitor",
                "Disk      12.3 GB free, 0 B used in /var/downloads",
                "Last jobs 2027-01-15 07:30:00 UTC  job-9 2.0 SUCCEEDED complete_ready",
                "          2027-01-15 07:00:00 UTC  job-8 ended_by_others: x",
                "          2027-01-14 08:00:00 UTC  job-0 1.9 FAILED version_mismatch: why",
            ],
        )

    def test_a_download(self) -> None:
        self.agent.state, self.agent.job = "download", JOB
        self.agent.download = DownloadSnapshot(900, 2000, 100.0)
        self.assertEqual(
            self.table(age=2.0)[1:5],
            [
                "Broker    broker:8883, for 1 min 2 s",
                "State     download",
                "Job       job-1, execution 3, version 2.0, 2.0 kB, forced",
                "Download  [#########-----------] 45 % of 2.0 kB, 100 B/s, 9 s left",
            ],
        )

    def test_no_connection(self) -> None:
        self.agent.connection = ConnectionSnapshot(problem="refused", retry=90.0)
        table = self.table(age=1.0)
        self.assertEqual(table[1], "Broker    broker:8883, not connected: refused")
        self.assertEqual(
            table[3], "Waits     refused; next in 1 min 29 s, at 2027-01-15 08:01:30 UTC"
        )

    def test_a_hook(self) -> None:
        self.agent.state, self.agent.job, self.agent.hook = "install", JOB, RUNNING
        self.assertEqual(self.table(age=1.0)[4], "Hook      install, run 2, for 13 s of 1 h")

    def test_a_hook_that_waits(self) -> None:
        self.agent.hook = HookSnapshot(Hook.INSTALL, 2, 3600.0, wait=RETRY)
        self.assertEqual(
            self.table()[3:5],
            [
                "Hook      install, before run 2",
                "Waits     the hook exited with 3; next in 42 s, at 2027-01-15 08:00:42 UTC",
            ],
        )

    def test_a_wait_with_a_limit(self) -> None:
        self.agent.pause = Wait(WaitKind.RESTART_TIMEOUT, "old version", 60.0, 300.0)
        row = self.table()[3]
        self.assertTrue(row.endswith("; given up at 2027-01-15 08:05:00 UTC"), row)

    def test_a_wait_without_an_end(self) -> None:
        self.agent.state = "restart"
        self.assertEqual(self.table()[3], "Waits     AWS has not accepted reboot_start yet")

    def test_text_of_others_is_one_line(self) -> None:
        status = self.status()
        status["thing"] = "a\x1b[31m\nb"
        self.assertEqual(rows(status)[0].text, "2.0.0 for a b")


class LineTests(Tables):
    def test_at_rest(self) -> None:
        self.assertEqual(line(self.status()), "monitor")
        self.agent.history = (SUCCESS, PAST)
        self.agent.connection = ConnectionSnapshot(problem="refused")
        expected = "monitor; not connected; last job job-9 2.0 SUCCEEDED complete_ready"
        self.assertEqual(line(self.status()), expected)

    def test_work(self) -> None:
        self.agent.state, self.agent.job = "install", JOB
        self.agent.hook = HookSnapshot(Hook.INSTALL, 2, 3600.0, wait=RETRY)
        self.agent.download = DownloadSnapshot(900, 2000, 100.0)
        self.assertEqual(
            line(self.status()),
            "install; job-1, version 2.0; 45 % of 2.0 kB, 100 B/s; install hook, run 2; "
            "waits: the hook exited with 3",
        )


class ValueTests(SynchronousTestCase):
    def test_spans(self) -> None:
        for seconds, text in (
            (0.9, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (61.5, "1 min 1 s"),
            (3600, "1 h"),
            (3725, "1 h 2 min"),
            (90000, "1 d 1 h"),
        ):
            self.assertEqual(span(seconds), text)

    def test_sizes(self) -> None:
        for count, text in (
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_949, "99.9 kB"),
            (99_950, "100 kB"),
            (999_499, "999 kB"),
            (999_500, "1.0 MB"),
            (12_340_000_000, "12.3 GB"),
            (5e12, "5.0 TB"),
        ):
            self.assertEqual(size(count), text)

    def test_progress(self) -> None:
        for received, total, text in (
            (0, None, "0 B"),
            (0, 0, "[####################] 100 % of 0 B"),
            (1999, 2000, "[###################-] 99 % of 2.0 kB"),
            (2000, 2000, "[####################] 100 % of 2.0 kB"),
        ):
            found = {"bytes": received, "total": total, "rate": None, "remaining_seconds": None}
            self.assertEqual(progress(found), text)
