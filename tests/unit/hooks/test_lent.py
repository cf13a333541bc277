"""Install hooks that fetch the file from a URL, with child processes that only pretend."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.support.downloads import make_job
from tests.unit.hooks.case import HookTestCase
from upparat.job import Hook, Job
from upparat.ports import LOOPBACK

JOB = make_job("https://h/f")


class FakeLender:
    def __init__(self) -> None:
        self.calls: list[str] = []
        self.problem: OSError | None = None
        self.failed = False
        self._lent = 0

    def lend(self, job: Job) -> str:
        if self.problem is not None:
            raise self.problem
        self._lent += 1
        self.calls.append("lend")
        return f"http://127.0.0.1/{self._lent}"

    def take_back(self) -> Callable[[], None] | None:
        self.calls.append("take_back")
        return (lambda: self.calls.append("report")) if self.failed else None


class LentTests(HookTestCase):
    def make(self, **changes: Any) -> None:
        super().make(**changes)
        self.lender = FakeLender()
        self.runner._lender = self.lender

    def begin(self) -> None:
        self.run_hook(Hook.INSTALL, JOB, LOOPBACK)

    def test_the_whole_way(self) -> None:
        self.begin()
        self.assertEqual(self.command()[-1], b"http://127.0.0.1/1")
        self.assertEqual(self.reactor.last.env[b"UPPARAT_URL"], b"http://127.0.0.1/1")
        self.assertEqual(self.lender.calls, ["lend"])
        self.reactor.last.ends()
        self.assertEqual(self.lender.calls, ["lend", "take_back"])
        self.assertEqual(self.told(), [("installed",)])

    def test_each_run_has_its_own(self) -> None:
        self.begin()
        self.reactor.last.ends(3)
        self.reactor.advance(self.settings.retry_interval)
        self.reactor.last.launched()
        self.assertEqual(self.command()[-1], b"http://127.0.0.1/2")
        self.assertEqual(self.lender.calls, ["lend", "take_back", "lend"])

    def test_a_hook_that_fails_by_itself(self) -> None:
        self.begin()
        self.reactor.last.ends(1)
        [(event, hook, message, *_)] = self.told()
        self.assertEqual((event, hook, message), ("hook_failed", Hook.INSTALL, "Exit code: 1"))

    def test_a_hook_that_could_not_get_the_file(self) -> None:
        """The download is what has failed."""
        self.begin()
        self.lender.failed = True
        self.reactor.last.ends(1)
        self.assertEqual(self.lender.calls, ["lend", "take_back", "report"])
        self.assertEqual(self.told(), [])
        self.assert_idle()
        self.assertFalse(self.runner.busy)

    def test_a_hook_that_succeeds_all_the_same(self) -> None:
        self.begin()
        self.lender.failed = True
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("installed",)])

    def test_a_hook_that_is_called_off(self) -> None:
        """It loses its URL at once, and ends by itself."""
        self.begin()
        self.runner.release()
        self.assertEqual(self.lender.calls, ["lend", "take_back"])
        self.assertEqual(self.reactor.kills, [])
        self.lender.failed = True
        self.reactor.last.ends(1)
        self.assertEqual(self.told(), [("released",)])
        self.assertNotIn("report", self.lender.calls)

    def test_no_port(self) -> None:
        self.lender.problem = OSError(99, "no port")
        self.runner.run(Hook.INSTALL, JOB, LOOPBACK)
        self.assertEqual(self.lender.calls, ["take_back"])
        [(event, *_)] = self.told()
        self.assertEqual(event, "hook_failed")
