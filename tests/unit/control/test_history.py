"""The history of the last jobs."""

from __future__ import annotations

import json
from pathlib import Path

from hypothesis import given
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON, RELAXED
from tests.support.ports import key
from tests.unit.control.bench import NOON
from upparat.control.history import KEPT, NAME, History, PastJob
from upparat.snapshots import EndedJob


def ended(job_id: str = "a", **changes: str) -> EndedJob:
    values = {"version": "2.0", "status": "SUCCEEDED", "state": "complete_ready", "message": "none"}
    return EndedJob(key(job_id), **{**values, **changes})


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.file = self.directory / NAME
        self.history = self.new()

    def new(self) -> History:
        history = History(self.directory, lambda: NOON)
        history.load()
        return history

    def ids(self) -> list[str]:
        return [job.id for job in self.new().jobs]

    def test_an_end_outlives_the_agent(self) -> None:
        self.assertEqual(self.history.jobs, ())
        self.history.add(ended())
        past = PastJob(
            "a", 1, 100, "2.0", "SUCCEEDED", "complete_ready", "none", "2027-01-15T08:00:00+00:00"
        )
        self.assertEqual(self.history.jobs, (past,))
        self.assertEqual(self.new().jobs, (past,))
        self.assertEqual(self.file.stat().st_mode & 0o777, 0o600)

    def test_the_newest_come_first_and_few_are_kept(self) -> None:
        for number in range(KEPT + 2):
            self.history.add(ended(f"job-{number}"))
        self.assertEqual(self.ids(), ["job-6", "job-5", "job-4", "job-3", "job-2"])

    def test_a_job_that_ends_again_is_one_job(self) -> None:
        self.history.add(ended("a", state="download_failed"))
        self.history.add(ended("b"))
        self.history.add(ended("a"))
        self.assertEqual(self.ids(), ["a", "b"])
        self.assertEqual(self.history.jobs[0].state, "complete_ready")

    def test_no_secret_is_kept(self) -> None:
        self.history.add(
            ended(message="no https://s3/f?X-Amz-Signature=secret", version="\x1b[1m2")
        )
        self.assertEqual(self.history.jobs[0].message, "no https://s3/f?…")
        self.assertEqual(self.history.jobs[0].version, "2")
        self.assertNotIn("secret", self.file.read_text())

    def test_a_file_that_makes_no_sense_is_an_empty_history(self) -> None:
        self.history.add(ended())
        good = json.loads(self.file.read_text())
        for content in (
            "",
            "{",
            "[]",
            '{"schema": 1}',
            json.dumps({**good, "jobs": [{**good["jobs"][0], "version": 1}]}),
            json.dumps({**good, "jobs": [{**good["jobs"][0], "queued": "1"}]}),
        ):
            self.file.write_text(content)
            with capturedLogs() as logs:
                self.assertEqual(self.new().jobs, (), content)
            self.assertIn("cannot be read", logs[0]["log_format"])

    def test_a_file_of_a_newer_agent(self) -> None:
        self.history.add(ended())
        self.file.write_text(self.file.read_text().replace('"schema": 1', '"schema": 2'))
        self.assertEqual(self.new().jobs, ())

    @given(ANY_JSON)
    @RELAXED
    def test_any_file(self, content: object) -> None:
        self.directory.mkdir(exist_ok=True, mode=0o700)
        self.file.touch(mode=0o600)
        self.file.write_text(json.dumps(content))
        self.assertEqual(self.new().jobs, ())

    def test_a_disk_that_refuses(self) -> None:
        self.directory.touch()
        with capturedLogs() as logs:
            self.history.add(ended())
        self.assertIn("cannot be written", logs[0]["log_format"])
        self.assertEqual([job.id for job in self.history.jobs], ["a"])
