"""What AWS says of a job's executions."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import Status
from upparat.publish.executions import (
    FailedExecution,
    JobProgress,
    ThingExecution,
    all_executions,
    counted,
    describe_execution,
    latest,
    progress_of,
)

from .bench import MODEL, FakeAws


def execution(thing: str, status: Status = Status.FAILED, number: int = 1) -> ThingExecution:
    return ThingExecution(thing, number, status)


def listed(*executions: ThingExecution, token: str = "") -> dict[str, object]:
    summaries = [
        {
            "thingArn": f"arn:aws:iot:r:1:thing/{each.thing}",
            "jobExecutionSummary": {"status": each.status.value, "executionNumber": each.number},
        }
        for each in executions
    ]
    return {"executionSummaries": summaries, **({"nextToken": token} if token else {})}


class ProgressTests(SynchronousTestCase):
    def test_counts(self) -> None:
        answer = {
            "job": {
                "status": "IN_PROGRESS",
                "jobProcessDetails": {
                    "numberOfQueuedThings": 3,
                    "numberOfTimedOutThings": 1,
                    "numberOfFailedThings": 0,
                    "numberOfRejectedThings": None,
                },
            }
        }
        progress = progress_of("j", answer)
        self.assertEqual(progress.counts, {Status.QUEUED: 3, Status.TIMED_OUT: 1})
        self.assertEqual((progress.failed, progress.ended), (1, False))
        self.assertEqual(progress_of("j", {"job": {"status": "SCHEDULED"}}).counts, {})

    def test_the_end(self) -> None:
        done = {Status.SUCCEEDED: 2}
        busy = done | {Status.IN_PROGRESS: 1}
        for status, counts, ended in (
            ("SCHEDULED", {}, False),
            ("IN_PROGRESS", done, False),
            ("COMPLETED", done, True),
            ("CANCELED", busy, False),
            ("CANCELED", done | {Status.CANCELED: 1}, True),
            ("DELETION_IN_PROGRESS", busy, True),
            ("DELETED", busy, True),
        ):
            self.assertEqual(JobProgress("j", status, counts).ended, ended, status)

    def test_success_is_that_of_all(self) -> None:
        self.assertTrue(JobProgress("j", "COMPLETED", {Status.SUCCEEDED: 2}).succeeded)
        for counts in ({}, {Status.SUCCEEDED: 2, Status.REMOVED: 1}, {Status.FAILED: 1}):
            self.assertFalse(JobProgress("j", "COMPLETED", counts).succeeded)


class ExecutionsTests(SynchronousTestCase):
    def test_a_list_has_pages(self) -> None:
        aws = FakeAws()
        first, second = execution("a"), execution("b", Status.SUCCEEDED)
        aws.answers["list_job_executions_for_job"] = [listed(first, token="t"), listed(second)]
        self.assertEqual(list(all_executions(aws, "j", Status.FAILED)), [first, second])
        sent = [request.parameters for request in aws.requests]
        usual = {"jobId": "j", "maxResults": 250, "status": "FAILED"}
        self.assertEqual(sent, [usual, usual | {"nextToken": "t"}])
        list(all_executions(aws, "j"))
        self.assertNotIn("status", aws.requests[-1].parameters)

    def test_one_is_described_by_its_number(self) -> None:
        request = describe_execution("j", execution("a", number=2))
        MODEL.check(request)
        expected = {"jobId": "j", "thingName": "a", "executionNumber": 2}
        self.assertEqual(request.parameters, expected)

    def test_a_retry_counts_and_not_what_it_repeats(self) -> None:
        again = execution("a", Status.SUCCEEDED, 2)
        last = latest([again, execution("b"), execution("a")])
        self.assertEqual(last, {"a": again, "b": execution("b")})
        self.assertEqual(
            list(counted(last.values()).items()), [(Status.SUCCEEDED, 1), (Status.FAILED, 1)]
        )

    def test_reasons(self) -> None:
        for details, reason in (
            ({}, ""),
            ({"state": "s", "message": "none"}, "s"),
            ({"state": "s", "message": "m"}, "s: m"),
            ({"state": "s", "message": "m", "stderr": "a\n\x1b[1mb"}, "s: m | a b"),
        ):
            self.assertEqual(FailedExecution(execution("a"), details).reason, reason)
