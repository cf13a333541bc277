"""What AWS is asked before anything is sent."""

from __future__ import annotations

from upparat.publish.checks import check_bucket, check_package, check_targets
from upparat.publish.request import BadArgument, PublishFailed

from .bench import GROUP, REGION, THING, PublishBench


class ChecksTests(PublishBench):
    def test_the_region_of_the_bucket(self) -> None:
        self.assertEqual(check_bucket(self.aws, "files", REGION), REGION)
        self.aws.answers["head_bucket"] = {"BucketRegion": "eu-west-1"}
        self.assertEqual(check_bucket(self.aws, "files", REGION), "eu-west-1")

    def test_a_bucket_that_cannot_be_used(self) -> None:
        self.aws.refuse("head_bucket", "404")
        error: PublishFailed = self.assertRaises(
            BadArgument, check_bucket, self.aws, "files", REGION
        )
        self.assertEqual(str(error), "--bucket: there is no bucket 'files'")
        self.aws.refuse("head_bucket", "403", "Forbidden")
        error = self.assertRaises(PublishFailed, check_bucket, self.aws, "files", REGION)
        told = "--bucket files: the right s3:ListBucket is missing: Forbidden"
        self.assertEqual((str(error), error.status), (told, 1))

    def test_each_target_is_looked_up(self) -> None:
        check_targets(self.aws, self.order(targets=(THING, GROUP)), REGION)
        self.assertEqual(self.aws.operations, ["describe_thing", "describe_thing_group"])

    def test_targets_that_do_not_exist(self) -> None:
        self.aws.refuse("describe_thing_group", "ResourceNotFoundException")
        order = self.order(targets=(THING, GROUP))
        error: PublishFailed = self.assertRaises(
            BadArgument, check_targets, self.aws, order, REGION
        )
        self.assertEqual(str(error), f"--group: there is no thing group 'fleet' in {REGION}")
        self.aws.refuse("describe_thing", "AccessDeniedException")
        error = self.assertRaises(PublishFailed, check_targets, self.aws, order, REGION)
        told = "--thing thing-1: the right iot:DescribeThing is missing: no"
        self.assertEqual((str(error), error.status), (told, 1))

    def test_a_package(self) -> None:
        check_package(self.aws, self.order())
        self.assertEqual(self.aws.operations, [])
        order = self.order(package="app")
        self.aws.answers["get_package_version"] = {"status": "PUBLISHED"}
        check_package(self.aws, order)
        self.aws.answers["get_package_version"] = {"status": "DRAFT"}
        error: PublishFailed = self.assertRaises(BadArgument, check_package, self.aws, order)
        self.assertIn("--package: version 2.0.0 of app is a draft", str(error))
        self.aws.refuse("get_package_version", "ResourceNotFoundException")
        error = self.assertRaises(BadArgument, check_package, self.aws, order)
        self.assertEqual(
            str(error), "--package: version 2.0.0 of app is not in the package catalog"
        )
        self.aws.refuse("get_package_version", "AccessDeniedException")
        error = self.assertRaises(PublishFailed, check_package, self.aws, order)
        self.assertIn("the right iot:GetPackageVersion is missing", str(error))
