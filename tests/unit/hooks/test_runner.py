"""The hook runner: order, events, release and shut-down."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from tests.unit.hooks.case import JOB, KILL, TERM, HookTestCase
from upparat.hooks.child import GRACE
from upparat.hooks.orphans import POLL
from upparat.hooks.output import BURST
from upparat.hooks.pidfiles import HookGroup
from upparat.job import Hook
from upparat.snapshots import HookSnapshot, Wait, WaitKind


class OrderTests(HookTestCase):
    """Hooks run one at a time."""

    def test_next_hook_may_be_run_from_the_event(self) -> None:
        self.listener.download_allowed = lambda: self.runner.run(Hook.READY, JOB)  # type: ignore
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.last.ends()
        self.assertEqual(self.command()[0], b"/hooks/ready")

    def test_second_run_waits_for_the_first(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        first = self.reactor.last
        self.runner.run(Hook.READY, JOB)
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.assertEqual(len(self.reactor.processes), 1)
        first.ends(signal=15)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.command()[0], b"/hooks/ready")


class OutputTests(HookTestCase):
    """Lines of stdout are reported."""

    def test_install_tells_each_line(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.prints(b"one\n\n \x1b[0m\ntw")
        self.prints(b"o\r50%\r\n\xff\x00end")
        self.reactor.last.ends()
        lines = ["one", "two", "50%", "\ufffd end"]
        self.assertEqual(self.told(), [*(("install_output", x) for x in lines), ("installed",)])

    def test_other_hooks_tell_no_lines(self) -> None:
        for hook in set(Hook) - {Hook.INSTALL}:
            self.run_hook(hook)
            self.prints(b"line\n")
            self.assertEqual(self.told(), [])
            self.reactor.last.ends()
            self.told()

    def test_version_is_the_last_line_with_something_in_it(self) -> None:
        self.run_hook(Hook.VERSION)
        self.prints(b"starting\n  1.2.3\xc3\xa9\t  x \n\n  \n")
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "1.2.3é\t  x")])

    def test_version_without_newline(self) -> None:
        self.run_hook(Hook.VERSION)
        self.prints(b"old\n1.2.3")
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "1.2.3")])

    def test_version_of_an_earlier_run_is_forgotten(self) -> None:
        self.run_hook(Hook.VERSION)
        self.prints(b"1.2.3")
        self.reactor.last.ends()
        self.run_hook(Hook.VERSION)
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "1.2.3"), ("version_known", "")])

    def test_flood_tells_the_last_lines(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.prints(b"".join(b"%d\n" % number for number in range(1000)))
        expected = [("install_output", str(number)) for number in range(1000 - BURST, 1000)]
        self.assertEqual(self.told(), expected)

    def test_release_from_a_line_silences_the_rest(self) -> None:
        self.listener.install_output = lambda line: self.runner.release()  # type: ignore
        self.run_hook(Hook.INSTALL)
        self.prints(b"one\ntwo\n")
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("released",)])

    def test_what_an_earlier_try_printed_does_not_count(self) -> None:
        self.run_hook(Hook.VERSION)
        self.prints(b"2.0\n")
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "")])


class ReleaseTests(HookTestCase):
    """The machine needs the hook no longer."""

    def test_nothing_runs(self) -> None:
        self.runner.release()
        self.assertEqual(self.told(), [("released",)])

    def test_hooks_that_are_ended(self) -> None:
        for hook in (Hook.VERSION, Hook.DOWNLOAD, Hook.READY):
            self.run_hook(hook)
            self.runner.release()
            self.assertEqual(self.reactor.kills.pop(), (self.reactor.last.group, TERM))
            self.assertEqual(self.told(), [])
            self.reactor.advance(GRACE)
            self.assertEqual(self.reactor.kills.pop(), (self.reactor.last.group, KILL))
            self.reactor.last.ends(signal=9)
            self.assertEqual(self.told(), [("released",)])
            self.assert_idle()

    def test_hooks_that_are_left_to_finish(self) -> None:
        for hook in (Hook.INSTALL, Hook.RESTART):
            for code in (0, 1, 3):
                self.run_hook(hook)
                self.runner.release()
                self.prints(b"silent\n")
                self.reactor.advance(GRACE * 2)
                self.assertEqual((self.reactor.kills, self.told()), ([], []))
                self.reactor.last.ends(code)
                self.assertEqual(self.told(), [("released",)])
                self.assert_idle()

    def test_result_is_logged(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.runner.release()
        with capturedLogs() as logs:
            self.reactor.last.ends(4)
        self.assertIn("Exit code: 4", [log.get("problem") for log in logs])

    def test_time_out_still_stands(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.runner.release()
        self.reactor.advance(100)
        self.assertEqual(self.reactor.kills, [(1000, TERM)])
        self.reactor.last.ends(signal=15)
        self.assertEqual(self.told(), [("released",)])

    def test_kill_on_cancel(self) -> None:
        self.make(kill_on_cancel=True)
        self.run_hook(Hook.INSTALL)
        self.runner.release()
        self.assertEqual(self.reactor.kills, [(1000, TERM)])

    def test_waiting_for_a_retry(self) -> None:
        for hook in Hook:
            self.run_hook(hook)
            self.reactor.last.ends(3)
            self.runner.release()
            self.assertEqual(self.told(), [("released",)])
            self.assert_idle()

    def test_only_drained(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.last.exits()
        self.runner.release()
        self.reactor.last.closes()
        self.assertEqual((self.reactor.kills, self.told()), ([], [("released",)]))

    def test_each_release_is_answered_once(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.runner.release()
        self.runner.release()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("released",), ("released",)])

    def test_cannot_be_ended(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.forbidden = True
        self.runner.release()
        self.reactor.advance(GRACE)
        self.reactor.advance(GRACE)
        self.assertEqual(self.told(), [("released",)])


class ShutDownTests(HookTestCase):
    """The service stops."""

    def shut_down(self) -> Deferred[None]:
        return self.runner.shut_down()

    def test_nothing_runs(self) -> None:
        self.successResultOf(self.shut_down())

    def test_running_hooks_are_ended(self) -> None:
        for hook in set(Hook) - {Hook.RESTART}:
            self.make()
            self.run_hook(hook)
            ended = self.shut_down()
            self.assertNoResult(ended)
            self.assertEqual(self.reactor.kills.pop(), (self.reactor.last.group, TERM))
            self.reactor.last.ends(signal=15)
            self.successResultOf(ended)
            self.assert_idle()
        self.assertEqual(self.told(), [])

    def test_running_restart_is_left_alone(self) -> None:
        self.run_hook(Hook.RESTART)
        self.successResultOf(self.shut_down())
        self.assert_idle()
        self.prints(b"bye\n")
        self.reactor.last.exits()
        self.reactor.advance(0)
        self.assert_idle()
        self.assertEqual((self.reactor.kills, self.told()), ([], []))

    def test_restart_that_is_drained(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.exits()
        self.successResultOf(self.shut_down())
        self.reactor.advance(0)
        self.assertEqual(self.reactor.last.open_fds, set())
        self.assertEqual(self.told(), [])
        self.assert_idle()

    def test_a_restart_that_has_failed_is_none(self) -> None:
        for code in (1, 3):
            self.make()
            self.run_hook(Hook.RESTART)
            self.reactor.last.exits(code)
            ended = self.shut_down()
            self.assertNoResult(ended)
            self.reactor.last.closes()
            self.successResultOf(ended)
            self.assert_idle()
        self.assertNotIn(("left",), self.attempts.calls)

    def test_a_restart_that_others_have_ended_is_one(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.exits(signal=15)
        self.successResultOf(self.shut_down())
        self.assertEqual(self.attempts.calls[1:], [("left",)])

    def test_a_restart_that_is_being_ended_is_none(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.advance(100)
        ended = self.shut_down()
        self.assertNoResult(ended)
        self.reactor.advance(GRACE)
        self.assertEqual([number for _, number in self.reactor.kills], [TERM, KILL])
        self.reactor.last.ends(signal=9)
        self.successResultOf(ended)
        self.assertNotIn(("left",), self.attempts.calls)
        self.assert_idle()

    def test_waiting_for_a_retry(self) -> None:
        for hook in Hook:
            self.make()
            self.run_hook(hook)
            self.reactor.last.ends(3)
            self.successResultOf(self.shut_down())
            self.assert_idle()
        self.assertEqual(self.told(), [])

    def test_while_released(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.runner.release()
        ended = self.shut_down()
        self.reactor.last.ends(signal=15)
        self.successResultOf(ended)
        self.assertEqual(self.told(), [])

    def test_silent_afterwards(self) -> None:
        self.shut_down()
        self.runner.run(Hook.READY, JOB)
        self.runner.release()
        self.assertEqual((self.reactor.processes, self.told()), ([], []))


class LingeringRestartTests(HookTestCase):
    """A restart hook of an earlier agent still runs."""

    def setUp(self) -> None:
        super().setUp()
        self.orphans = {HookGroup(7, Hook.RESTART)}
        self.successResultOf(self.runner.wait_for_leftovers())

    def test_it_is_told_of(self) -> None:
        self.assertTrue(self.runner.restart_lingers())
        self.orphans.clear()
        self.reactor.advance(POLL)
        self.assertFalse(self.runner.restart_lingers())

    def test_nothing_is_installed_or_restarted_meanwhile(self) -> None:
        for hook in (Hook.INSTALL, Hook.RESTART):
            self.setUp()
            self.runner.run(hook, JOB)
            self.reactor.pump([POLL] * 20)
            self.assertEqual((self.reactor.processes, self.attempts.calls), ([], []))
            self.orphans.clear()
            self.reactor.advance(POLL)
            self.assertEqual(len(self.reactor.processes), 1)

    def test_other_hooks_run(self) -> None:
        for hook in (Hook.VERSION, Hook.DOWNLOAD, Hook.READY):
            self.run_hook(hook)
            self.reactor.last.ends()
        self.assertEqual(len(self.told()), 3)

    def test_a_cancellation_while_one_waits(self) -> None:
        self.runner.run(Hook.INSTALL, JOB)
        self.runner.release()
        self.assertEqual(self.told(), [("released",)])
        self.orphans.clear()
        self.reactor.advance(POLL)
        self.assertEqual(self.reactor.processes, [])

    def test_a_stop_while_one_waits(self) -> None:
        for hook in (Hook.INSTALL, Hook.RESTART):
            self.setUp()
            self.runner.run(hook, JOB)
            self.successResultOf(self.runner.shut_down())
            self.assert_idle()
            self.assertEqual((self.told(), self.attempts.calls), ([], []))

    def test_it_ends_by_its_time_out(self) -> None:
        self.reactor.groups.add(7)
        self.runner.run(Hook.INSTALL, JOB)
        self.reactor.pump([POLL] * 200)
        self.assertEqual(self.reactor.kills, [(7, TERM)])


class WayTests(HookTestCase):
    """Something runs outside of the job, and has to end first."""

    def setUp(self) -> None:
        super().setUp()
        self.way = Deferred()

    def test_every_hook_waits(self) -> None:
        for hook in Hook:
            self.setUp()
            self.runner.run(hook, JOB)
            self.assertTrue(self.runner.busy)
            self.assertEqual(self.reactor.processes, [])
            self.way.callback(None)
            self.assertEqual(len(self.reactor.processes), 1)
            self.reactor.last.launched()
            self.reactor.last.ends()
            self.assertFalse(self.runner.busy)

    def test_a_cancellation_while_one_waits(self) -> None:
        for hook in Hook:
            self.setUp()
            self.runner.run(hook, JOB)
            self.runner.release()
            self.assertEqual(self.told(), [("released",)])
            self.way.callback(None)
            self.assertEqual(self.reactor.processes, [])

    def test_a_stop_while_one_waits(self) -> None:
        self.runner.run(Hook.VERSION, JOB)
        self.successResultOf(self.runner.shut_down())
        self.way.callback(None)
        self.assertEqual((self.reactor.processes, self.told()), ([], []))


class SnapshotTests(HookTestCase):
    def test_no_hook(self) -> None:
        self.assertIsNone(self.runner.snapshot())

    def test_a_run(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.advance(30)
        running = HookSnapshot(Hook.DOWNLOAD, 1, timeout=100.0, seconds=30.0, remaining=70.0)
        self.assertEqual(self.runner.snapshot(), running)
        self.reactor.last.ends()
        self.assertIsNone(self.runner.snapshot())

    def test_a_wait_for_the_next_run(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.last.ends(3)
        self.reactor.advance(4)
        wait = Wait(WaitKind.HOOK_RETRY, "the hook exited with 3", 6.0)
        waiting = HookSnapshot(Hook.DOWNLOAD, 2, timeout=100.0, wait=wait)
        self.assertEqual(self.runner.snapshot(), waiting)
        self.reactor.advance(6)
        self.reactor.advance(1)
        again = HookSnapshot(Hook.DOWNLOAD, 2, timeout=100.0, seconds=1.0, remaining=99.0)
        self.assertEqual(self.runner.snapshot(), again)

    def test_a_wait_for_a_hook_of_an_earlier_agent(self) -> None:
        self.orphans = {HookGroup(77, Hook.INSTALL)}
        self.runner.wait_for_leftovers()
        self.runner.run(Hook.INSTALL, JOB, "/file")
        snapshot = self.runner.snapshot()
        assert snapshot is not None
        assert snapshot.wait is not None
        self.assertIs(snapshot.wait.kind, WaitKind.EARLIER_HOOK)
        self.assertIsNone(snapshot.seconds)

    def test_a_restart_hook_that_falls_with_the_device(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.ends(signal=15)
        snapshot = self.runner.snapshot()
        assert snapshot is not None
        why = "the restart hook was ended: the device may be going down"
        grace = self.settings.restart_grace
        self.assertEqual(snapshot.wait, Wait(WaitKind.HOOK_RETRY, why, grace))
