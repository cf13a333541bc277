"""A watched job as a table, as lines, and as JSON."""

from __future__ import annotations

import io
import json
import os

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import Status
from upparat.publish.executions import FailedExecution, JobProgress
from upparat.publish.table import as_json, rows, shower

from .bench import Terminal
from .test_executions import execution

FAILED = FailedExecution(execution("b"), {"state": "version_mismatch", "message": "none"})
BUSY = JobProgress("j", "IN_PROGRESS", {Status.QUEUED: 12, Status.FAILED: 1}, (FAILED,))
DONE = JobProgress("j", "COMPLETED", {Status.SUCCEEDED: 12, Status.FAILED: 1}, (FAILED,))


class TableTests(SynchronousTestCase):
    def test_a_row_for_each_status_and_each_reason(self) -> None:
        self.assertEqual(
            [(row.label, row.text, row.tone) for row in rows(BUSY, "no answer")],
            [
                ("Job", "j: IN_PROGRESS", ""),
                ("       12", "QUEUED", ""),
                ("        1", "FAILED", "bad"),
                ("", "b FAILED: version_mismatch", "bad"),
                ("", "no answer", "busy"),
            ],
        )
        self.assertEqual([row.text for row in rows(JobProgress("j", ""))], ["j: ?"])

    def test_how_many_more_have_failed(self) -> None:
        progress = JobProgress("j", "COMPLETED", {Status.FAILED: 5}, (FAILED,))
        self.assertEqual(rows(progress)[-1].text, "and 4 more")

    def test_a_retry_is_named_with_its_number(self) -> None:
        again = FailedExecution(execution("b", Status.TIMED_OUT, 2))
        progress = JobProgress("j", "COMPLETED", {Status.TIMED_OUT: 1}, (again,))
        self.assertEqual(rows(progress)[-1].text, "b (execution 2) TIMED_OUT: no reason reported")


class ShowerTests(SynchronousTestCase):
    def shown(self, stream: io.StringIO, *, as_objects: bool = False) -> str:
        show = shower(stream, as_objects=as_objects)
        for progress, remark in ((BUSY, ""), (BUSY, ""), (BUSY, "no answer"), (DONE, "")):
            show(progress, remark)
        return stream.getvalue()

    def test_a_log_has_a_line_for_each_change(self) -> None:
        self.assertEqual(
            self.shown(io.StringIO()).splitlines(),
            [
                "j: IN_PROGRESS, 12 QUEUED, 1 FAILED",
                "  b FAILED: version_mismatch",
                "no answer",
                "j: COMPLETED, 12 SUCCEEDED, 1 FAILED",
            ],
        )

    def test_a_terminal_has_one_table(self) -> None:
        self.patch(os, "environ", {"TERM": "xterm", "NO_COLOR": "1"})
        drawn = self.shown(Terminal())
        self.assertEqual(drawn.count("Job        j: IN_PROGRESS"), 3)
        self.assertIn("\x1b[4A\r", drawn)
        self.assertIn("       12  SUCCEEDED", drawn)

    def test_json_has_an_object_for_each_change(self) -> None:
        lines = self.shown(io.StringIO(), as_objects=True).splitlines()
        self.assertEqual([json.loads(line)["ended"] for line in lines], [False, False, True])
        self.assertEqual(json.loads(lines[1])["remark"], "no answer")
        self.assertEqual(
            as_json(DONE),
            {
                "job_id": "j",
                "status": "COMPLETED",
                "ended": True,
                "executions": {"SUCCEEDED": 12, "FAILED": 1},
                "failures": [
                    {
                        "thing": "b",
                        "execution": 1,
                        "status": "FAILED",
                        "details": {"state": "version_mismatch", "message": "none"},
                    }
                ],
            },
        )
