"""Watching a job until its end."""

from __future__ import annotations

from typing import Any

from upparat.job import Status
from upparat.publish import watch as module
from upparat.publish.executions import JobProgress, ThingExecution
from upparat.publish.request import AwsRequest, AwsUnreachable, PublishFailed
from upparat.publish.watch import INTERVAL, UNREACHABLE, JobWatch

from .bench import Answer, PublishBench, refusal
from .test_executions import execution, listed


def job(status: str, **counts: int) -> dict[str, Any]:
    details = {f"numberOf{name}Things": count for name, count in counts.items()}
    return {"job": {"status": status, "jobProcessDetails": details}}


def details(state: str) -> dict[str, Any]:
    return {"execution": {"statusDetails": {"detailsMap": {"state": state}}}}


class WatchTests(PublishBench):
    def setUp(self) -> None:
        super().setUp()
        self.shown: list[tuple[JobProgress, str]] = []
        self.slept: list[float] = []

    def watch(self, *answers: Answer, executions: Answer | None = None) -> JobProgress:
        self.aws.answers["describe_job"] = list(answers)
        self.aws.answers["list_job_executions_for_job"] = executions or listed()
        show = lambda *each: self.shown.append(each)  # noqa: E731
        return JobWatch(self.aws, "j", show, self.slept.append).run()

    def of_status(self, *executions: ThingExecution) -> Answer:
        """The executions that a request for a status lists."""

        def answer(request: AwsRequest) -> dict[str, Any]:
            wanted = request.parameters.get("status")
            return listed(*(each for each in executions if wanted in (None, each.status)))

        return answer

    def test_to_the_end(self) -> None:
        ended = self.watch(
            job("IN_PROGRESS", Queued=1),
            job("IN_PROGRESS", InProgress=1),
            job("COMPLETED", Succeeded=1),
            executions=listed(execution("a", Status.SUCCEEDED)),
        )
        self.assertTrue(ended.succeeded)
        counts = [progress.counts for progress, _ in self.shown]
        expected = [{Status.QUEUED: 1}, {Status.IN_PROGRESS: 1}, {Status.SUCCEEDED: 1}]
        self.assertEqual(counts, expected)
        self.assertEqual(self.slept, [INTERVAL, INTERVAL])

    def test_reasons_are_fetched_once(self) -> None:
        self.aws.answers["describe_job_execution"] = details("version_mismatch")
        ended = self.watch(
            job("IN_PROGRESS", Queued=1, Failed=1),
            job("IN_PROGRESS", Queued=1, Failed=1),
            job("COMPLETED", Succeeded=1, Failed=1),
            executions=self.of_status(execution("a"), execution("b", Status.SUCCEEDED)),
        )
        for progress, _ in self.shown:
            self.assertEqual([each.reason for each in progress.failures], ["version_mismatch"])
        self.assertEqual(self.aws.operations.count("describe_job_execution"), 1)
        self.assertEqual((ended.failed, ended.succeeded), (1, False))

    def test_only_statuses_that_occur_are_listed(self) -> None:
        self.watch(job("IN_PROGRESS", Rejected=1), job("COMPLETED", Rejected=1))
        listed_ = [r for r in self.aws.requests if r.operation == "list_job_executions_for_job"]
        self.assertEqual([r.parameters.get("status") for r in listed_], ["REJECTED", None])

    def test_a_retry_that_succeeds_is_a_success(self) -> None:
        self.aws.answers["describe_job_execution"] = details("download_failed")
        ended = self.watch(
            job("IN_PROGRESS", Queued=1, Failed=1),
            job("COMPLETED", Succeeded=1, Failed=1),
            executions=self.of_status(execution("a", Status.SUCCEEDED, 2), execution("a")),
        )
        self.assertEqual(len(self.shown[0][0].failures), 1)
        self.assertEqual((ended.counts, ended.failures), ({Status.SUCCEEDED: 1}, ()))

    def test_reasons_are_limited(self) -> None:
        self.patch(module, "MOST_REASONS", 2)
        self.aws.answers["describe_job_execution"] = details("s")
        failing = [execution(name) for name in "abc"]
        ended = self.watch(job("COMPLETED", Failed=3), executions=self.of_status(*failing))
        self.assertEqual((len(ended.failures), ended.failed), (2, 3))

    def test_a_thing_that_was_deleted_has_no_reason(self) -> None:
        self.aws.refuse("describe_job_execution", "ResourceNotFoundException")
        ended = self.watch(job("COMPLETED"), executions=listed(execution("a")))
        self.assertEqual([each.reason for each in ended.failures], [""])

    def test_aws_may_be_out_of_reach_for_a_while(self) -> None:
        lost = AwsUnreachable("no network"), refusal("ThrottlingException")
        self.watch(job("IN_PROGRESS", Queued=1), *lost, job("COMPLETED"))
        remarks = [remark for _, remark in self.shown]
        self.assertEqual(remarks, ["", UNREACHABLE, UNREACHABLE, ""])
        self.assertEqual(self.shown[1][0].counts, {Status.QUEUED: 1})

    def test_a_job_that_was_deleted(self) -> None:
        gone = refusal("ResourceNotFoundException")
        ended = self.watch(job("IN_PROGRESS", Queued=1), gone)
        self.assertEqual(ended.status, "DELETED")

    def test_a_missing_right_ends_it(self) -> None:
        denied = refusal("AccessDeniedException", operation="describe_job")
        error = self.assertRaises(PublishFailed, self.watch, denied)
        told = "--watch: the right iot:DescribeJob is missing: no; job j goes on"
        self.assertEqual((str(error), error.status), (told, 1))
