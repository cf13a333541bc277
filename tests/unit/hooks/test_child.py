"""The end of a child process and its output, on a clock."""

from __future__ import annotations

from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.logger import capturedLogs
from zope.interface.verify import verifyObject

from tests.unit.hooks.case import KILL, TERM, HookTestCase
from upparat.hooks.child import DRAIN, GRACE, STDERR_TAIL
from upparat.job import Hook


class StdioTests(HookTestCase):
    """A child's stdin, stdout and stderr."""

    def test_fakes_are_what_they_stand_for(self) -> None:
        self.run_hook(Hook.READY)
        verifyObject(IProcessTransport, self.reactor.last)
        verifyObject(IReactorProcess, self.reactor)

    def test_stdin_is_empty(self) -> None:
        self.run_hook(Hook.VERSION)
        self.assertTrue(self.reactor.last.empty_stdin)

    def test_stderr_is_bounded(self) -> None:
        with capturedLogs() as logs:
            self.run_hook(Hook.READY)
            self.prints(b"noise\n" * 10000, fd=2)
            self.reactor.last.ends(1)
        told = [log for log in logs if log.get("line") == "noise" and "repeats" in log]
        self.assertEqual(len(told), STDERR_TAIL)

    def test_background_child_that_holds_the_pipes(self) -> None:
        self.run_hook(Hook.VERSION)
        self.reactor.last.exits()
        self.prints(b"1.0\n")
        self.assertEqual(self.told(), [])
        self.reactor.advance(DRAIN)
        self.assertEqual(self.told(), [("version_known", "1.0")])
        self.assertEqual(self.reactor.last.open_fds, set())
        self.assertEqual(self.reactor.kills, [])
        self.assert_idle()

    def test_time_out_does_not_count_the_drain(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.advance(99.5)
        self.reactor.last.exits()
        self.reactor.pump([0.4, 0.4, 0.4])
        self.assertEqual(self.told(), [("download_allowed",)])


class TimeOutTests(HookTestCase):
    """A child that takes too long is ended."""

    def time_out(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.advance(100)

    def assert_timed_out(self, end: str = "was ended") -> None:
        message = f"Timed out after 100s and {end}"
        self.assertEqual(self.told(), [("hook_failed", "download", message)])
        self.assert_idle()

    def test_ends_on_sigterm(self) -> None:
        self.time_out()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.reactor.last.ends(signal=15)
        self.assert_timed_out()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])

    def test_is_not_tried_again(self) -> None:
        self.time_out()
        self.reactor.last.ends(3)
        self.assert_timed_out()

    def test_ignores_sigterm(self) -> None:
        self.time_out()
        self.reactor.advance(GRACE)
        self.assertEqual(self.reactor.kills, [(1000, TERM), (1000, KILL)])
        self.reactor.last.ends(signal=9)
        self.assert_timed_out()

    def test_rest_of_the_group_gets_its_time(self) -> None:
        self.time_out()
        self.reactor.last.exits(signal=15)
        self.reactor.last.closes()
        self.reactor.advance(1)
        self.assertEqual(self.told(), [])
        self.reactor.groups.clear()
        self.reactor.advance(0.2)
        self.assert_timed_out()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])

    def test_rest_of_the_group_is_killed(self) -> None:
        self.time_out()
        self.reactor.last.exits(signal=15)
        self.reactor.pump([0.1] * 60)
        self.assertEqual(self.reactor.kills, [(1000, TERM), (1000, KILL)])
        self.reactor.last.closes()
        self.assert_timed_out()

    def test_cannot_be_killed(self) -> None:
        self.time_out()
        self.reactor.forbidden = True
        self.reactor.advance(GRACE)
        self.reactor.advance(GRACE)
        self.reactor.advance(0)
        self.assert_timed_out("could not be ended")
        self.assertEqual(self.reactor.last.open_fds, set())
        self.reactor.last.exits()
        self.reactor.advance(DRAIN)
        self.assertEqual(self.told(), [])

    def test_rest_of_the_group_cannot_be_killed(self) -> None:
        self.time_out()
        self.reactor.forbidden = True
        self.reactor.last.exits(signal=15)
        self.reactor.last.closes()
        self.reactor.pump([0.1] * 60)
        self.assert_timed_out()
