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
from upparat.control.history import KEPT, NAME, History, PastJob, read_history
from upparat.snapshots import EndedJob


def ended(job_id: str = "a", **changes: str) -> EndedJob:
    values = {"version": "2.0", "status": "SUCCEEDED", "state": "complete_ready", "message": "none"}
    return EndedJob(key(job_id), **{**values, **changes})


class HistoryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.file = self.directory / NAME
        self.now = NOON
        self.history = self.new()

    def new(self) -> History:
        history = History(self.directory, lambda: self.now)
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
        self.assertEqual(self.ids(), [f"job-{number}" for number in range(KEPT + 1, 1, -1)])

    def test_a_job_that_ends_again_is_one_job(self) -> None:
        self.history.add(ended("a", state="download_failed"))
        self.history.add(ended("b"))
        self.history.add(ended("a"))
        self.assertEqual(self.ids(), ["a", "b"])
        self.assertEqual(self.history.jobs[0].state, "complete_ready")

    def test_how_long_a_job_took_over_a_restart(self) -> None:
        self.history.begin(key("a"))
        self.now += 30
        self.history = self.new()
        self.history.begin(key("a"))
        self.now += 60
        self.history.add(ended())
        self.now += 5
        self.history.add(ended())  # once more, after a crash
        [job] = self.new().jobs
        self.assertEqual((job.begun, job.seconds), ("2027-01-15T08:00:00+00:00", 95.0))

    def test_the_beginning_belongs_to_one_job(self) -> None:
        self.history.begin(key("a"))
        self.history.add(ended("b"))
        self.assertEqual(self.new().jobs[0].seconds, None)

    def test_a_clock_that_was_set_meanwhile(self) -> None:
        self.now = 100.0
        self.history.begin(key("a"))
        self.now = NOON
        self.history.add(ended())
        self.assertEqual(self.new().jobs[0].seconds, None)

    def test_what_was_replaced(self) -> None:
        self.history.add(ended(replaced="1.9"))
        self.assertEqual(self.new().jobs[0].replaced, "1.9")

    def test_a_file_of_an_older_agent(self) -> None:
        self.history.add(ended())
        content = json.loads(self.file.read_text())
        for name in ("replaced", "begun"):
            del content["jobs"][0][name]
        self.file.write_text(json.dumps(content))
        self.assertEqual([(job.id, job.replaced) for job in self.new().jobs], [("a", "")])

    def test_reading_without_an_agent(self) -> None:
        self.assertEqual(read_history(self.directory), ())
        self.history.add(ended())
        self.assertEqual(read_history(self.directory), self.history.jobs)
        self.file.write_text('{"schema": 1}')
        self.assertRaises(ValueError, read_history, self.directory)

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
            json.dumps({**good, "jobs": [{**good["jobs"][0], "begun": 1}]}),
            json.dumps({**good, "begun": {"id": 1, "execution": 1, "queued": 1, "time": ""}}),
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
