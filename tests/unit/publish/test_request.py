"""Requests as values: the rights that they need, and what a refusal means."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.request import AwsRequest

from .bench import refusal


class RequestTests(SynchronousTestCase):
    def test_the_right_that_it_needs(self) -> None:
        for service, operation, action in (
            ("iot", "create_job", "iot:CreateJob"),
            ("iot", "describe_thing_group", "iot:DescribeThingGroup"),
            ("iot", "list_job_executions_for_job", "iot:ListJobExecutionsForJob"),
            ("s3", "head_bucket", "s3:ListBucket"),
            ("s3", "head_object", "s3:GetObject"),
            ("s3", "upload_part", "s3:PutObject"),
            ("s3", "list_parts", "s3:ListMultipartUploadParts"),
            ("s3", "list_multipart_uploads", "s3:ListBucketMultipartUploads"),
        ):
            self.assertEqual(AwsRequest(service, operation).action, action)


class RefusalTests(SynchronousTestCase):
    def test_what_is_missing(self) -> None:
        for code in ("404", "NoSuchBucket", "NoSuchKey", "ResourceNotFoundException"):
            self.assertTrue(refusal(code).missing, code)
        for code in ("403", "AccessDenied", "InvalidRequestException", ""):
            self.assertFalse(refusal(code).missing, code)

    def test_what_is_forbidden(self) -> None:
        for code in ("403", "AccessDenied", "AccessDeniedException", "UnauthorizedException"):
            self.assertTrue(refusal(code).forbidden, code)
        for code in ("404", "ThrottlingException", ""):
            self.assertFalse(refusal(code).forbidden, code)
