"""A directory, a stream and an answer of AWS, for the tests of the local AWS."""

from __future__ import annotations

import io
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import Status
from upparat.local import aws


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()


class FakeStream(io.StringIO):
    tty = False

    def isatty(self) -> bool:
        return self.tty


def execution(status: Status) -> aws.ExecutionStatus:
    return aws.ExecutionStatus(status, 1, 1, {"state": "s"})
