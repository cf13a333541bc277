"""``upparat publish``: its arguments, and how it ends. botocore's model judges its requests."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

from tests.support.openssl import make_keys
from tests.unit.commands.bench import CommandBench, loaded
from tests.unit.publish.bench import REGION, ROLE, FakeAws, refusal
from tests.unit.publish.test_boto import NO_AWS
from tests.unit.publish.test_executions import execution, listed
from tests.unit.publish.test_watch import details, job
from upparat.commands import main as cli
from upparat.commands import publish
from upparat.job import Status
from upparat.publish.executions import JobProgress


class PublishBench(CommandBench):
    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", {**os.environ, **NO_AWS})
        self.aws = FakeAws()
        self.patch(publish, "connect", lambda region, endpoint: (self.aws, region or REGION))
        self.aws.refuse("head_object", "404")
        self.file = self.directory / "image.bin"
        self.file.write_bytes(b"firmware")

    def publish(self, *words: str, file: Path | None = None) -> None:
        usual = ["--version", "2.0.0", "--thing", "a", "--bucket", "files", "--role-arn", ROLE]
        cli.main(["publish", str(file or self.file), *usual, *words])

    def status(self, *words: str, **more: Any) -> Any:
        return self.assertRaises(SystemExit, self.publish, *words, **more).code

    def problem(self, *words: str, **more: Any) -> str:
        """The last line of what is printed."""
        self.err.truncate(0)
        self.err.seek(0)
        self.assertEqual(self.status(*words, **more), 2)
        told = self.err.getvalue()
        self.assertNotIn("Traceback", told)
        return told.splitlines()[-1]


class PublishTests(PublishBench):
    def test_the_file_and_the_job(self) -> None:
        self.publish("--job-id", "mine")
        self.assertEqual(
            self.aws.operations,
            ["head_bucket", "describe_thing", "head_object", "put_object", "create_job"],
        )
        *_, where, made = self.out.getvalue().splitlines()
        self.assertRegex(where, r"^s3://files/firmware/[0-9a-f]{64}/image.bin: uploaded$")
        self.assertEqual(made, "Job mine created")

    def test_a_delta(self) -> None:
        """Without ``zck`` nothing is asked."""
        os.environ["PATH"] = str(self.directory)
        self.assertEqual(
            self.problem("--delta"),
            "upparat publish: --delta: the program zck is missing; Debian's package is zchunk",
        )
        self.assertEqual(self.aws.operations, [])

    def test_all_options(self) -> None:
        key = make_keys(self.directory, "p256").private
        self.publish(
            *["--sign", str(key), "--product", "board A", "--meta", "m", "--force-update"],
            *["--rollout", "50/min", "--abort-at", "20%/5", "--timeout", "2h", "--retry", "3"],
            *["--schedule", "2027-01-31T02:00/2027-01-31T04:00", "--log-url", "s3://logs"],
            *["--package", "app", "--prefix", "", "--group", "g", "--region", "eu-west-1"],
        )
        parameters = self.aws.requests[-1].parameters
        keys = set(json.loads(parameters["document"]))
        self.assertLess({"signature", "meta", "force", "log_url"}, keys)
        self.assertEqual(
            set(parameters),
            {
                "jobId",
                "targets",
                "document",
                "presignedUrlConfig",
                "jobExecutionsRolloutConfig",
                "abortConfig",
                "timeoutConfig",
                "jobExecutionsRetryConfig",
                "schedulingConfig",
                "destinationPackageVersions",
            },
        )
        self.assertIn(":eu-west-1:", parameters["targets"][1])

    def test_json(self) -> None:
        self.publish("--json")
        [line] = self.out.getvalue().splitlines()
        self.assertEqual(json.loads(line)["uploaded_bytes"], 8)

    def test_again(self) -> None:
        self.publish()
        document = self.aws.requests[-1].parameters["document"]
        self.aws.refuse("create_job", "ResourceAlreadyExistsException")
        self.aws.answers["get_job_document"] = {"document": document}
        self.publish()
        self.assertIn("exists already, with the same document", self.out.getvalue())

    def test_other_verbs_do_without_it(self) -> None:
        modules = loaded("check", "-c", self.config)
        self.assertNotIn("upparat.publish", modules)
        self.assertNotIn("boto3", modules)


class ProblemTests(PublishBench):
    def test_arguments_are_named(self) -> None:
        told = "upparat publish: error: argument"
        for words, problem in (
            (["--timeout", "2x"], f"{told} --timeout: '2x' is no duration"),
            (["--abort-at", "20"], f"{told} --abort-at: '20' is no percentage"),
            (["--rollout", "5"], f"{told} --rollout: '5' is no rate"),
            (["--retry", "11"], f"{told} --retry: '11' is no number"),
            (["--schedule", "now"], f"{told} --schedule: 'now' is not START/END"),
            (["--product", ""], f"{told} --product: is empty"),
            (["--product", "A"], "upparat publish: --product: only a signature"),
            (["--thing", "a b"], "upparat publish: --thing: 'a b' is not"),
            (["--bucket", "B"], "upparat publish: --bucket: 'B' is no name"),
            (["--prefix", "/x"], "upparat publish: --prefix: '/x' is not"),
            (["--role-arn", "r"], "upparat publish: --role-arn: 'r' is not like"),
            (["--job-id", "get"], "upparat publish: --job-id: 'get' is not"),
            (["--meta", "x" * 40_000], "upparat publish: --meta: the job document has"),
            (["--version", " 2"], "upparat publish: --version: begins or ends"),
            (["--log-url", "x"], "upparat publish: --log-url: must be an https"),
            (["--sign", "/missing"], "upparat publish: --sign: /missing: No such file"),
        ):
            self.assertTrue(self.problem(*words).startswith(problem), words)
        missing = self.directory / "missing"
        self.assertIn(f"FILE: {missing}: No such file", self.problem(file=missing))
        self.assertEqual(self.aws.requests, [])

    def test_what_aws_does_not_know(self) -> None:
        self.aws.refuse("describe_thing", "ResourceNotFoundException")
        told = f"upparat publish: --thing: there is no thing 'a' in {REGION}"
        self.assertEqual(self.problem(), told)
        self.aws.refuse("head_bucket", "404")
        self.assertEqual(self.problem(), "upparat publish: --bucket: there is no bucket 'files'")
        self.assertNotIn("put_object", self.aws.operations)

    def test_a_missing_right_is_no_wrong_argument(self) -> None:
        self.aws.refuse("create_job", "AccessDeniedException")
        self.assertEqual(self.status(), 1)
        self.assertIn("the right iot:CreateJob is missing", self.err.getvalue())

    def test_an_interrupt(self) -> None:
        self.aws.answers["put_object"] = interrupt
        self.assertEqual(self.status(), 130)
        self.assertIn("the same command goes on", self.err.getvalue())

    def test_a_reader_that_has_had_enough(self) -> None:
        class Closed:
            def isatty(self) -> bool:
                return False

            def write(self, _: str) -> None:
                raise BrokenPipeError

            def flush(self) -> None:
                raise BrokenPipeError

        self.patch(sys, "stdout", Closed())
        self.publish("--dry-run")
        self.patch(sys, "stdout", Closed())
        self.assertEqual(self.status(), 1)


def interrupt(_: object) -> Any:
    raise KeyboardInterrupt


class DryRunTests(PublishBench):
    def test_nothing_is_sent(self) -> None:
        self.publish("--dry-run", "--watch", "--meta", "secret")
        self.assertEqual(self.aws.requests, [])
        operations = ["head_bucket", "describe_thing", "head_object", "put_object", "create_job"]
        self.assertEqual(self.aws.checked, operations)
        printed = self.out.getvalue()
        for operation in operations:
            self.assertIn(f" {operation}\n", printed)
        self.assertNotIn("secret", printed)

    def test_json(self) -> None:
        self.publish("--dry-run", "--json")
        lines = [json.loads(line) for line in self.out.getvalue().splitlines()]
        self.assertEqual(lines[-1]["operation"], "create_job")


class WatchTests(PublishBench):
    def watch(self, *answers: Any, executions: Any = None, words: tuple[str, ...] = ()) -> Any:
        self.aws.answers["describe_job"] = list(answers)
        self.aws.answers["list_job_executions_for_job"] = executions or listed()
        self.aws.answers["describe_job_execution"] = details("version_mismatch")
        try:
            self.publish("--job-id", "mine", "--watch", *words)
        except SystemExit as exit_:
            return exit_.code
        return 0

    def test_how_it_ends_is_the_exit_status(self) -> None:
        for status, code in ((Status.SUCCEEDED, 0), (Status.FAILED, 3), (Status.CANCELED, 4)):
            ended = listed(execution("a", status))
            self.assertEqual(self.watch(job("COMPLETED"), executions=ended), code)
        self.assertEqual(self.watch(job("COMPLETED")), 4)
        self.assertIn("  a FAILED: version_mismatch\n", self.out.getvalue())

    def test_a_failure_counts_more_than_a_cancellation(self) -> None:
        counts = {Status.SUCCEEDED: 5, Status.FAILED: 1, Status.CANCELED: 4}
        self.assertEqual(publish.exit_status(JobProgress("j", "CANCELED", counts)), 3)

    def test_an_interrupt_leaves_the_job_alone(self) -> None:
        endpoint = ("--endpoint-url", "http://user:secret@127.0.0.1:1")
        self.assertEqual(self.watch(interrupt, words=endpoint), 130)
        told = self.err.getvalue()
        self.assertIn("Job mine goes on", told)
        self.assertIn(
            f"aws iot cancel-job --job-id mine --force --region {REGION}"
            " --endpoint-url http://127.0.0.1:1\n",
            told,
        )
        self.assertNotIn("cancel_job", self.aws.operations)

    def test_json(self) -> None:
        ended = listed(execution("a", Status.SUCCEEDED))
        self.assertEqual(self.watch(job("COMPLETED"), executions=ended, words=("--json",)), 0)
        made, watched = map(json.loads, self.out.getvalue().splitlines())
        self.assertEqual((made["new"], watched["executions"]), (True, {"SUCCEEDED": 1}))

    def test_a_right_that_is_missing(self) -> None:
        self.assertEqual(self.watch(refusal("AccessDeniedException")), 1)
        self.assertIn("job mine goes on", self.err.getvalue())
