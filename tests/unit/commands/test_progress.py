"""The progress of an install by hand, from one status to the next."""

from __future__ import annotations

import sys
from io import StringIO
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.commands.progress import InstallProgress, begun
from upparat.control.client import AskingFailed
from upparat.control.protocol import InstallRequest

ENDED = {"id": "local@1", "status": "SUCCEEDED"}


def status(install: str | None = None, *history: dict[str, str]) -> Any:
    return {
        "state": "monitor",
        "connection": {"connected": True},
        "job": {"id": install, "version": "2.0"} if install else None,
        "download": None,
        "hook": None,
        "waiting": [],
        "install": install,
        "history": list(history),
    }


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.out = StringIO()
        self.patch(sys, "stdout", self.out)

    def printed(self) -> list[str]:
        return self.out.getvalue().splitlines()

    def test_an_order(self) -> None:
        order = InstallRequest("/f", 0, {"version": "2.0\x1b"})
        self.assertEqual(begun({"job": "local@1\n"}, order), "local@1")
        self.assertNotIn("\x1b", self.out.getvalue())
        self.assertEqual(len(self.printed()), 1)

    def test_until_the_end(self) -> None:
        progress = InstallProgress("local@1")
        self.assertIsNone(progress.take(status("local@1")))
        self.assertIsNone(progress.take(status("local@1")))
        self.assertEqual(
            self.printed(), ["monitor; local@1, version 2.0"]
        )  # a line for each change
        self.assertEqual(progress.take(status(None, ENDED)), ENDED)

    def test_the_one_in_hand_comes_before_the_last_one(self) -> None:
        progress = InstallProgress(None)
        self.assertIsNone(progress.take(status("local@2", ENDED)))
        failed = {"id": "local@2", "status": "FAILED"}
        self.assertEqual(progress.take(status(None, failed, ENDED)), failed)

    def test_the_last_one_among_jobs_of_aws(self) -> None:
        job = {"id": "job-1", "status": "FAILED"}
        self.assertEqual(InstallProgress(None).take(status(None, job, ENDED)), ENDED)

    def test_there_is_none(self) -> None:
        with self.assertRaisesRegex(AskingFailed, "nothing was installed by hand of late"):
            InstallProgress(None).take(status(None, {"id": "job-1", "status": "FAILED"}))

    def test_one_that_the_agent_has_forgotten(self) -> None:
        with self.assertRaisesRegex(AskingFailed, "knows nothing of local@1 any more"):
            InstallProgress("local@1").take(status(None))
