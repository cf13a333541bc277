"""Jobs and files of the local AWS, with clients that answer like boto3's."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import Status
from upparat.local import aws, ministack, policies


class FakeIot:
    """Answers like boto3's client; ``answers`` are its executions, one a call."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.answers: list[dict[str, object]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **named: self.calls.append((name, named))

    def describe_job_execution(self, **_: object) -> dict[str, object]:
        if not self.answers:
            raise self.exceptions.ResourceNotFoundException
        return {"execution": self.answers.pop(0)}


def answer(status: str, **details: str) -> dict[str, object]:
    execution: dict[str, object] = {"status": status, "versionNumber": 2, "executionNumber": 1}
    return execution | ({"statusDetails": {"detailsMap": details}} if details else {})


class Jobs(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = aws.Cloud("http://127.0.0.1:1", 2)
        self.iot = self.cloud.__dict__["iot"] = FakeIot()
        self.s3 = self.cloud.__dict__["s3"] = FakeIot()

    def test_a_job_names_its_things_and_the_role(self) -> None:
        self.cloud.create_job("j", {"a": 1}, ["t", "u"], expires=60, description="d")
        [(name, named)] = self.iot.calls
        self.assertEqual(name, "create_job")
        self.assertEqual(
            named,
            {
                "jobId": "j",
                "targets": [policies.thing_arn("t"), policies.thing_arn("u")],
                "document": '{"a": 1}',
                "presignedUrlConfig": {"roleArn": policies.ROLE_ARN, "expiresInSec": 60},
                "description": "d",
            },
        )

    def test_an_upload_gives_what_the_document_says(self) -> None:
        file = self.cloud.upload("a/b.bin", b"x")
        self.assertEqual(self.s3.calls[0][1]["Key"], "a/b.bin")
        self.assertEqual(
            file,
            "${aws:iot:s3-presigned-url:"
            "https://s3.us-east-1.amazonaws.com/upparat-local-files/a/b.bin}",
        )

    def test_an_execution_is_read(self) -> None:
        self.iot.answers = [answer("IN_PROGRESS", state="s", message="m"), answer("QUEUED")]
        first, second = self.cloud.execution("j", "t"), self.cloud.execution("j", "t")
        assert first is not None
        assert second is not None
        self.assertEqual((first.status, first.state), (Status.IN_PROGRESS, "s"))
        self.assertEqual((second.status, second.state, second.number), (Status.QUEUED, "", 1))
        self.assertIsNone(self.cloud.execution("j", "t"))

    def test_waiting_ends_with_the_execution(self) -> None:
        self.patch(aws, "_POLL_INTERVAL", 0)
        self.iot.answers = [answer("QUEUED"), answer("IN_PROGRESS"), answer("FAILED")]
        self.assertEqual(self.cloud.wait("j", "t").status, Status.FAILED)

    def test_waiting_is_limited(self) -> None:
        self.iot.answers = [answer("QUEUED")]
        error = self.assertRaises(TimeoutError, self.cloud.wait, "j", "t", timeout=-1)
        self.assertIn("QUEUED", str(error))

    def test_cancel_and_delete(self) -> None:
        self.cloud.cancel("j")
        self.cloud.delete("j", force=True)
        self.assertEqual(
            self.iot.calls,
            [
                ("cancel_job", {"jobId": "j", "force": False}),
                ("delete_job", {"jobId": "j", "force": True}),
            ],
        )

    def test_missing_packages_are_named_with_the_remedy(self) -> None:
        self.patch(aws, "find_spec", lambda name: None if name == "boto3" else name)
        error = self.assertRaises(ministack.LocalAwsError, aws.require_packages)
        self.assertEqual(str(error), "boto3 not installed: run pip install 'upparat[local]'")
