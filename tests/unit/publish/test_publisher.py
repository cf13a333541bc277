"""An order that is carried out."""

from __future__ import annotations

import io
import json
from typing import Any

from tests.support.openssl import make_keys
from upparat.publish.progress import Console
from upparat.publish.publisher import Published, Publisher, Release, prepare
from upparat.publish.request import BadArgument, PublishFailed

from .bench import REGION, ROLE, PublishBench
from .test_deltafile import DeltaBench


class PublisherBench(PublishBench):
    def setUp(self) -> None:
        super().setUp()
        self.console = Console(io.StringIO())
        self.publisher = Publisher(self.aws, self.console)

    def release(self, **more: Any) -> Release:
        self.file()
        return prepare(self.order(**more), REGION, self.console)


class PrepareTests(PublisherBench):
    def test_it_asks_nobody(self) -> None:
        release = self.release()
        self.assertEqual(self.aws.requests, [])
        self.assertEqual(release.place.key, f"firmware/{release.firmware.sha256}/image.bin")

    def test_the_document_is_that_of_the_order(self) -> None:
        key = make_keys(self.directory, "ed25519").private
        release = self.release(key_file=key, product="p", meta="m", force=True, log_url="s3://logs")
        document = json.loads(release.create_job.parameters["document"])
        self.assertEqual(document["file"], release.place.placeholder)
        self.assertEqual((document["meta"], document["force"]), ("m", True))
        self.assertEqual(len(document["signature"]), 88)
        self.assertIn("/logs/${thingName}/", document["log_url"])
        self.assertNotIn("signature", json.loads(self.release().create_job.parameters["document"]))

    def test_problems_come_before_anything_is_sent(self) -> None:
        error = self.assertRaises(BadArgument, self.release, meta="x" * 40_000)
        self.assertTrue(str(error).startswith("--meta: the job document has"))
        self.file(b"")
        error = self.assertRaises(BadArgument, prepare, self.order(), REGION, self.console)
        self.assertTrue(str(error).endswith("image.bin is empty"))
        missing = self.directory / "missing"
        error = self.assertRaises(BadArgument, self.release, key_file=missing)
        self.assertIn("--sign", str(error))


class PublisherTests(PublisherBench):
    def test_the_url_names_the_region_of_the_bucket(self) -> None:
        self.aws.answers["head_bucket"] = {"BucketRegion": "eu-west-1"}
        release = self.publisher.check(self.release())
        self.assertEqual(self.aws.operations, ["head_bucket", "describe_thing"])
        parameters = release.create_job.parameters
        self.assertIn("https://s3.eu-west-1.amazonaws.com/", parameters["document"])
        self.assertEqual(
            parameters["targets"], [f"arn:aws:iot:{REGION}:123456789012:thing/thing-1"]
        )

    def test_the_file_and_then_the_job(self) -> None:
        self.aws.refuse("head_object", "404")
        release = self.release()
        self.assertEqual(self.publisher.upload(release), 8)
        self.assertTrue(self.publisher.make_job(release))
        self.assertEqual(self.aws.operations, ["head_object", "put_object", "create_job"])
        self.assertEqual(self.aws.requests[-1].parameters["jobId"], release.job_id)

    def test_a_refused_upload_names_the_bucket_and_the_right(self) -> None:
        self.aws.refuse("head_object", "404")
        self.aws.refuse("put_object", "AccessDenied")
        error = self.assertRaises(PublishFailed, self.publisher.upload, self.release())
        self.assertTrue(str(error).startswith("--bucket files: the right s3:"))

    def test_a_job_that_is_there_with_the_same_document(self) -> None:
        """The answer to the first request may have been lost, or the command is run again."""
        release = self.release(key_file=make_keys(self.directory, "p256").private)
        self.aws.refuse("create_job", "ResourceAlreadyExistsException")
        document = json.loads(release.create_job.parameters["document"])
        theirs = json.dumps(document | {"signature": "of another run"}, indent=1)
        self.aws.answers["get_job_document"] = {"document": theirs}
        self.assertFalse(self.publisher.make_job(release))

    def test_a_job_of_another_document(self) -> None:
        release = self.release(job_id="mine")
        self.aws.refuse("create_job", "ResourceAlreadyExistsException")
        told = "--job-id: there is another job 'mine' already"
        for theirs in ('{"version": "1"}', "no JSON", "[]"):
            self.aws.answers["get_job_document"] = {"document": theirs}
            error = self.assertRaises(BadArgument, self.publisher.make_job, release)
            self.assertEqual(str(error), told)
        self.aws.refuse("get_job_document", "AccessDeniedException")
        error = self.assertRaises(BadArgument, self.publisher.make_job, release)
        self.assertEqual(str(error), told)

    def test_a_refused_job_names_what_is_wrong(self) -> None:
        release = self.release()
        for code, message, told in (
            ("InvalidRequestException", "Role r is invalid", f"--role-arn {ROLE}: InvalidRequest"),
            ("AccessDeniedException", "iam:PassRole", f"--role-arn {ROLE}: the right iam:PassRole"),
            ("LimitExceededException", "too many", f"job {release.job_id}: LimitExceeded"),
        ):
            self.aws.refuse("create_job", code, message)
            error = self.assertRaises(PublishFailed, self.publisher.make_job, release)
            self.assertTrue(str(error).startswith(told), str(error))

    def test_each_upload_is_told(self) -> None:
        told = io.StringIO()
        release = self.release()
        self.aws.refuse("head_object", "404")
        Publisher(self.aws, Console(told)).upload(release)
        self.assertEqual(told.getvalue().splitlines()[-1], f"{release.place}: uploaded")

    def test_what_was_done_as_json(self) -> None:
        release = self.release(job_id="mine")
        self.assertEqual(
            Published(release, 8, True).as_json(),
            {
                "job_id": "mine",
                "version": "2.0.0",
                "sha256": release.firmware.sha256,
                "size": 8,
                "file": f"s3://files/{release.place.key}",
                "uploaded_bytes": 8,
                "new": True,
            },
        )


class DeltaTests(DeltaBench):
    def setUp(self) -> None:
        super().setUp()
        self.publisher = Publisher(self.aws, Console(self.told))

    def release(self, **more: Any) -> Release:
        self.file()
        order = self.order(delta=True, **more)
        return prepare(order, REGION, Console(self.told), self.scratch)

    def test_both_files_and_then_the_job(self) -> None:
        self.aws.refuse("head_object", "404")
        release = self.release()
        assert release.delta is not None
        sent = self.publisher.upload(release)
        self.assertEqual(sent, 8 + release.delta.size)
        self.publisher.make_job(release)
        first, second = [each for each in self.aws.requests if each.operation == "put_object"]
        self.assertEqual(first.parameters["Key"], release.place.key)
        key = f"firmware/{release.delta.sha256}/image.bin.zck"
        self.assertEqual(second.parameters["Key"], key)
        document = json.loads(self.aws.requests[-1].parameters["document"])
        self.assertEqual(document["file"], release.place.placeholder)
        self.assertIn(f"/files/{key}}}", document["delta"])
        self.assertEqual(Published(release, sent, True).as_json()["delta"], f"s3://files/{key}")

    def test_a_delta_is_not_left_out_in_silence(self) -> None:
        self.file()
        with self.assertRaises(ValueError):
            prepare(self.order(delta=True), REGION, Console(self.told))

    def test_its_url_names_the_region_of_the_bucket(self) -> None:
        self.aws.answers["head_bucket"] = {"BucketRegion": "eu-west-1"}
        release = self.publisher.check(self.release())
        document = json.loads(release.create_job.parameters["document"])
        self.assertIn("https://s3.eu-west-1.amazonaws.com/", document["delta"])

    def test_a_document_that_the_delta_makes_too_large(self) -> None:
        self.file()
        plain = prepare(self.order(), REGION, Console(self.told))
        room = 32 * 1024 - len(plain.create_job.parameters["document"]) - len(', "meta": ""')
        prepare(self.order(meta="x" * room), REGION, Console(self.told))
        error = self.assertRaises(BadArgument, self.release, meta="x" * room)
        self.assertIn("--meta: the job document has", str(error))
