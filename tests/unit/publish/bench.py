"""An AWS for tests: it answers as it is told, and takes only what botocore's model admits."""

from __future__ import annotations

import functools
import io
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import boto3
from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.boto import BotoAws
from upparat.publish.firmware import FirmwareFile, examine
from upparat.publish.order import Order
from upparat.publish.place import Place
from upparat.publish.request import Aws, AwsRefused, AwsRequest
from upparat.publish.targets import Account, Target, TargetKind

REGION = "eu-central-1"
ACCOUNT = Account("aws", "123456789012")
ROLE = "arn:aws:iam::123456789012:role/download"
THING = Target(TargetKind.THING, "thing-1", "--thing")
GROUP = Target(TargetKind.GROUP, "fleet", "--group")


@functools.cache
def _client(service: str) -> Any:
    return boto3.session.Session(region_name=REGION).client(service)


MODEL = BotoAws(_client)
"""Checks requests, and sends none."""

Answer = Mapping[str, Any] | Exception | Callable[[AwsRequest], Mapping[str, Any]]


class FakeAws:
    """Answers each operation with what ``answers`` has for it: one answer, or a list of them, of
    which the last one is for all calls that follow. Without one the answer is empty."""

    def __init__(self) -> None:
        self.requests: list[AwsRequest] = []
        self.checked: list[str] = []
        self.answers: dict[str, Answer | list[Answer]] = {}

    def call(self, request: AwsRequest) -> Mapping[str, Any]:
        MODEL.check(request)
        self.requests.append(request)
        answer = self.answers.get(request.operation, {})
        if isinstance(answer, list):
            answer = answer.pop(0) if len(answer) > 1 else answer[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(request) if callable(answer) else answer

    def check(self, request: AwsRequest) -> None:
        self.checked.append(request.operation)
        MODEL.check(request)

    @property
    def operations(self) -> list[str]:
        return [request.operation for request in self.requests]

    def refuse(self, operation: str, code: str, message: str = "no") -> None:
        self.answers[operation] = refusal(code, message, operation)


def _is_port(aws: FakeAws) -> Aws:
    return aws


def refusal(code: str, message: str = "no", operation: str = "create_job") -> AwsRefused:
    service = "s3" if "bucket" in operation or "object" in operation else "iot"
    return AwsRefused(AwsRequest(service, operation, {}), code, message)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class PublishBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.aws = FakeAws()

    def file(self, content: bytes = b"firmware", name: str = "image.bin") -> Path:
        path = self.directory / name
        path.write_bytes(content)
        return path

    def firmware(self, content: bytes = b"firmware") -> FirmwareFile:
        return examine(self.file(content))

    def order(self, **more: Any) -> Order:
        usual: dict[str, Any] = {
            "file": self.directory / "image.bin",
            "version": "2.0.0",
            "targets": (THING,),
            "bucket": "files",
            "prefix": "firmware",
            "role": ROLE,
            "account": ACCOUNT,
        }
        return Order(**(usual | more))


PLACE = Place(REGION, "files", "firmware/abc/image.bin")
