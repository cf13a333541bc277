"""Logs on a clock, with a publisher of their own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogPublisher
from twisted.trial.unittest import SynchronousTestCase

from upparat.job import ExecutionKey
from upparat.joblog.directory import LogDirectory
from upparat.joblog.logs import JobLogs

A, B = ExecutionKey("a", 1, 100), ExecutionKey("b", 2, 50)
HEADING = "Upparat 9 for thing"


class FakeThreads:
    """Keeps what other threads hand over."""

    def __init__(self) -> None:
        self.calls: list[Callable[[], object]] = []

    def callFromThread(self, call: Callable[..., object], *arguments: Any) -> None:
        self.calls.append(lambda: call(*arguments))


class DirectoryTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp()).absolute() / "state" / "logs"
        self.directory = LogDirectory(self.path)

    def files(self) -> list[str]:
        return sorted(path.name for path in self.path.iterdir())


class LogsTestCase(DirectoryTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.in_hand: ExecutionKey | None = A
        self.threads = FakeThreads()
        self.publisher = LogPublisher()
        self.log = self.logger("upparat.test")
        self.logs = self.started()

    def logger(self, namespace: str) -> Logger:
        return Logger(namespace, observer=self.publisher)

    def started(self) -> JobLogs:
        """The logs of a new agent."""
        logs = JobLogs(
            self.threads,  # type: ignore[arg-type]
            self.path,
            lambda: self.in_hand,
            HEADING,
            self.publisher,
        )
        logs.start()
        self.addCleanup(logs.stop)
        return logs

    def said(self, job_id: str | None = None) -> list[str]:
        """The lines of a log without their times, and without the heading."""
        lines = [line.partition(" ")[2] for line in self.logs.read(job_id).splitlines()]
        self.assertIn(HEADING, lines[0])
        return lines[1:]
