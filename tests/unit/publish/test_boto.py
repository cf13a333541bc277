"""The edge to AWS: boto3's answers and errors, by botocore's own stubs."""

from __future__ import annotations

import os
import sys
from typing import Any

import boto3
from botocore import exceptions as errors
from botocore.stub import Stubber

from upparat.publish.boto import BotoAws, connect
from upparat.publish.request import (
    AwsRefused,
    AwsRequest,
    AwsUnreachable,
    BadArgument,
    PublishFailed,
)
from upparat.publish.upload import put_object

from .bench import PLACE, REGION, PublishBench

NO_AWS = {
    "AWS_CONFIG_FILE": os.devnull,
    "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
    "AWS_EC2_METADATA_DISABLED": "true",
}
"""An environment without any settings of AWS."""


class BotoTests(PublishBench):
    def setUp(self) -> None:
        super().setUp()
        self.session = boto3.session.Session(
            aws_access_key_id="k", aws_secret_access_key="s", region_name=REGION
        )
        self.clients = {name: self.session.client(name) for name in ("iot", "s3")}
        self.edge = BotoAws(self.clients.__getitem__)

    def stub(self, service: str) -> Stubber:
        stubber = Stubber(self.clients[service])
        stubber.activate()
        self.addCleanup(stubber.deactivate)
        return stubber

    def test_an_answer(self) -> None:
        self.stub("iot").add_response("describe_thing", {"thingName": "t"}, {"thingName": "t"})
        answer = self.edge.call(AwsRequest("iot", "describe_thing", {"thingName": "t"}))
        self.assertEqual(answer["thingName"], "t")

    def test_a_body_is_read_when_it_is_sent(self) -> None:
        [piece] = self.firmware(b"abc").parts
        expected: dict[str, Any] = {
            **PLACE.parameters,
            "Body": b"abc",
            "ContentLength": 3,
            "ChecksumSHA256": piece.sha256,
        }
        self.stub("s3").add_response("put_object", {}, expected)
        self.edge.call(put_object(PLACE, piece))

    def test_a_refusal(self) -> None:
        self.stub("iot").add_client_error("describe_thing", "ResourceNotFoundException", "none")
        request = AwsRequest("iot", "describe_thing", {"thingName": "t"})
        refused = self.assertRaises(AwsRefused, self.edge.call, request)
        self.assertEqual((refused.code, str(refused)), ("ResourceNotFoundException", "none"))
        self.assertIs(refused.request, request)

    def failing(self, error: Exception) -> PublishFailed:
        def client(_: str) -> Any:
            raise error

        request = AwsRequest("iot", "describe_thing", {})
        failed: PublishFailed = self.assertRaises(PublishFailed, BotoAws(client).call, request)
        self.assertNotIn("secret", str(failed))
        return failed

    def test_failures_that_are_no_answer(self) -> None:
        url = "https://user:secret@h/b?secret"
        for error in (
            errors.EndpointConnectionError(endpoint_url=url),
            errors.ReadTimeoutError(endpoint_url=url),
            errors.SSLError(endpoint_url=url, error="certificate"),
            errors.ProxyConnectionError(proxy_url=url),
        ):
            self.assertIsInstance(self.failing(error), AwsUnreachable)
        self.assertIn(
            "no credentials: set AWS_PROFILE", str(self.failing(errors.NoCredentialsError()))
        )
        partial = errors.PartialCredentialsError(provider="env", cred_var="AWS_SECRET_ACCESS_KEY")
        self.assertIn("credentials: Partial", str(self.failing(partial)))
        self.assertIn("profile (p)", str(self.failing(errors.ProfileNotFound(profile="p"))))
        self.assertIn("iot:DescribeThing: broken", str(self.failing(OSError("broken"))))

    def test_requests_are_compared_with_the_model(self) -> None:
        self.edge.check(AwsRequest("iot", "describe_thing", {"thingName": "t"}))
        [piece] = self.firmware(b"abc").parts
        self.edge.check(put_object(PLACE, piece))
        for parameters in ({}, {"thingName": ""}, {"thingName": "t", "more": 1}):
            request = AwsRequest("iot", "describe_thing", parameters)
            error = self.assertRaises(PublishFailed, self.edge.check, request)
            self.assertTrue(str(error).startswith("iot:DescribeThing: "))
            self.assertNotIn("\n", str(error))


class ConnectTests(PublishBench):
    def setUp(self) -> None:
        super().setUp()
        self.patch(os, "environ", dict(NO_AWS))

    def problem(self, *arguments: str) -> str:
        return str(self.assertRaises(PublishFailed, connect, *arguments))

    def test_the_region(self) -> None:
        self.assertEqual(connect("eu-west-1", "")[1], "eu-west-1")
        self.assertIn("--region: none is given", self.problem("", ""))
        os.environ["AWS_DEFAULT_REGION"] = "us-gov-west-1"
        self.assertEqual(connect("", "")[1], "us-gov-west-1")
        for region in ("frankfurt", "eu-central-1.x", "EU-west-1"):
            told = self.assertRaises(BadArgument, connect, region, "")
            self.assertEqual(str(told), f"--region: {region!r} is no region such as eu-central-1")

    def test_a_profile_that_is_missing(self) -> None:
        os.environ["AWS_PROFILE"] = "nobody"
        self.assertIn("profile (nobody) could not be found", self.problem("", ""))

    def test_an_endpoint_that_is_no_url(self) -> None:
        edge, _ = connect("eu-west-1", "nowhere")
        error = self.assertRaises(BadArgument, edge.call, AwsRequest("iot", "describe_thing"))
        self.assertTrue(str(error).startswith("--endpoint-url: "))

    def test_no_credentials(self) -> None:
        edge, _ = connect("eu-west-1", "http://127.0.0.1:1")
        request = AwsRequest("iot", "describe_thing", {"thingName": "t"})
        error = self.assertRaises(PublishFailed, edge.call, request)
        self.assertTrue(str(error).startswith("no credentials"), str(error))

    def test_a_missing_boto3_is_named_with_the_remedy(self) -> None:
        self.addCleanup(sys.modules.__setitem__, "boto3", boto3)
        sys.modules["boto3"] = None  # type: ignore[assignment]
        told = "boto3 is not installed: run pip install 'upparat[aws]'"
        self.assertEqual(self.problem("eu-west-1", ""), told)
