"""The file of the install in hand."""

from __future__ import annotations

import json
from dataclasses import replace

from hypothesis import given
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON, RELAXED
from tests.unit.byhand.bench import INSTALL, InstallBench
from upparat.byhand.spool import NAME, unfinished
from upparat.job import State, Status


class SpoolTests(InstallBench):
    def test_there_and_back(self) -> None:
        self.assertEqual(self.spool.load(), None)
        for install in (
            INSTALL,
            replace(INSTALL, status=Status.IN_PROGRESS, details={"state": "x"}),
        ):
            self.spool.save(install)
            self.assertEqual(self.spool.load(), install)
        self.assertEqual((self.directory / NAME).stat().st_mode & 0o777, 0o600)
        self.spool.remove()
        self.spool.remove()
        self.assertEqual(self.spool.load(), None)

    def test_a_file_that_makes_no_sense(self) -> None:
        self.spool.save(INSTALL)
        good = json.loads((self.directory / NAME).read_text())
        wrong: tuple[dict[str, object], ...] = (
            {"schema": 2},
            {"job_id": "job-1"},
            {"job_id": 1},
            {"number": "1"},
            {"queued_at": None},
            {"status": "DONE"},
            {"details": []},
            {"details": {"state": 1}},
        )
        for changes in wrong:
            (self.directory / NAME).write_text(json.dumps({**good, **changes}))
            with capturedLogs() as logs:
                self.assertEqual(self.spool.load(), None, changes)
            self.assertIn("cannot be read", logs[0]["log_format"])

    @given(ANY_JSON)
    @RELAXED
    def test_any_file(self, content: object) -> None:
        self.spool.save(INSTALL)
        (self.directory / NAME).write_text(json.dumps(content))
        self.assertEqual(self.spool.load(), None)


class UnfinishedTests(SynchronousTestCase):
    def test_what_has_to_go_on(self) -> None:
        ended = replace(INSTALL, status=Status.SUCCEEDED)
        again = replace(INSTALL, status=Status.IN_PROGRESS)
        self.assertEqual(unfinished(None, INSTALL.key), None)
        self.assertEqual(unfinished(INSTALL, None), INSTALL)
        self.assertEqual(unfinished(ended, None), None)
        self.assertEqual(unfinished(ended, ended.key), again)
        state = State.VERSION_ALREADY_INSTALLED
        unneeded = replace(ended, details={"state": state.value})
        found = unfinished(unneeded, ended.key)
        self.assertEqual(found and found.status, Status.QUEUED, "its version is compared again")
