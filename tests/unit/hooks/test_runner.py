"""Hooks on a clock, with child processes that only pretend."""

from __future__ import annotations

import errno
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessTransport, IReactorProcess
from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.support.ports import execution
from tests.support.processes import FakeAttempts, Listener, ProcessReactor
from upparat.config.settings import Hooks
from upparat.hooks.child import DRAIN, GRACE, STDERR_TAIL
from upparat.hooks.orphans import POLL, Orphans
from upparat.hooks.output import HALF, Lines
from upparat.hooks.pidfiles import HookGroup, PidfileEntry, Pidfiles
from upparat.hooks.runner import BURST, HookRunner
from upparat.job import Hook, Job

JOB = Job(execution("job"), version="2.0", file="https://s3/f?secret", meta="mäta", force=True)
TERM, KILL = signal.SIGTERM, signal.SIGKILL


class FakePidfiles(Pidfiles):
    """The process of each hook that has a pidfile."""

    def __init__(self) -> None:
        super().__init__(Path("/nowhere"))
        self.pids: dict[Hook, int] = {}

    def write(self, hook: Hook, pid: int) -> None:
        self.pids[hook] = pid

    def remove(self, hook: Hook) -> None:
        self.pids.pop(hook, None)

    def read(self) -> set[PidfileEntry]:
        return set()


class HookTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = ProcessReactor()
        self.settings = Hooks(
            commands={hook: (f"/hooks/{hook.value}", "--flag") for hook in Hook},
            timeouts=dict.fromkeys(Hook, 100.0),
            retry_interval=10.0,
            max_retries=3,
        )
        self.listener = Listener()
        self.attempts = FakeAttempts()
        self.pidfiles = FakePidfiles()
        self.orphans: set[HookGroup] = set()
        self.make()

    def make(self, **changes: Any) -> None:
        self.settings = replace(self.settings, **changes)
        self.runner = HookRunner(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            agent="/state",
            attempts=self.attempts,
            pidfiles=self.pidfiles,
            orphans=Orphans(
                self.reactor,
                "/state",
                self.settings.timeouts,
                self.pidfiles,
                find=lambda *_: set(self.orphans),
                killpg=self.reactor.killpg,
            ),
            killpg=self.reactor.killpg,
        )
        self.runner.events = self.listener

    def run_hook(self, hook: Hook, job: Job = JOB, file: str = "") -> None:
        self.runner.run(hook, job, file)
        self.reactor.last.launched()

    def told(self) -> list[tuple[Any, ...]]:
        told, self.listener.told[:] = list(self.listener.told), []
        return told

    def prints(self, text: bytes, fd: int = 1) -> None:
        self.reactor.last.protocol.childDataReceived(fd, text)

    def assert_idle(self) -> None:
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def command(self) -> list[bytes]:
        """The last command line behind the launcher's."""
        argv = list(self.reactor.last.argv)
        return argv[argv.index(b"-c") + 3 :]


class CallTests(HookTestCase):
    """What a hook is given."""

    def test_fakes_are_what_they_stand_for(self) -> None:
        self.run_hook(Hook.READY)
        verifyObject(IProcessTransport, self.reactor.last)
        verifyObject(IReactorProcess, self.reactor)

    def test_arguments(self) -> None:
        own = {Hook.INSTALL: [b"/tmp/f"], Hook.RESTART: [b"True"]}
        for hook in Hook:
            self.run_hook(hook, file="/tmp/f" if hook is Hook.INSTALL else "")
            expected = [b"/hooks/" + hook.value.encode(), b"--flag", b"0", b"0", "mäta".encode()]
            self.assertEqual(self.command(), [*expected, *own.get(hook, [])])
            self.reactor.last.ends()

    def test_no_force_is_an_empty_argument(self) -> None:
        self.run_hook(Hook.RESTART, replace(JOB, force=False, meta=""))
        self.assertEqual(self.command()[2:], [b"0", b"0", b"", b""])
        self.assertEqual(self.reactor.last.env[b"UPPARAT_FORCE"], b"")

    def test_environment(self) -> None:
        self.run_hook(Hook.INSTALL, file="/tmp/f")
        added = {
            b"UPPARAT_JOB_ID": b"job",
            b"UPPARAT_VERSION": b"2.0",
            b"UPPARAT_FILE": b"/tmp/f",
            b"UPPARAT_META": "mäta".encode(),
            b"UPPARAT_FORCE": b"True",
            b"UPPARAT_RETRY": b"0",
            b"UPPARAT_ELAPSED": b"0",
            b"UPPARAT_HOOK": b"install",
            b"UPPARAT_AGENT": b"/state",
        }
        self.assertEqual(self.reactor.last.env, {**os.environb, **added})

    def test_lone_surrogates_do_not_raise(self) -> None:
        self.run_hook(Hook.VERSION, replace(JOB, meta="a\ud800b"))
        self.assertEqual(self.command()[-1], b"a?b")

    def test_stdin_is_empty(self) -> None:
        self.run_hook(Hook.VERSION)
        self.assertTrue(self.reactor.last.empty_stdin)

    def test_only_restart_survives_a_broken_pipe(self) -> None:
        for hook in Hook:
            self.run_hook(hook)
            self.assertEqual(b"SIG_IGN" in self.reactor.last.argv, hook is Hook.RESTART)
            self.reactor.last.ends()


class ResultTests(HookTestCase):
    """Exit codes, retries and failures."""

    def test_success(self) -> None:
        names = ("version_known", "download_allowed", "installed", "restarted", "ready")
        for hook, name in zip(Hook, names, strict=True):
            self.run_hook(hook)
            self.reactor.last.ends()
            self.assertEqual(self.told(), [(name, "") if hook is Hook.VERSION else (name,)])
        self.assert_idle()

    def test_exit_code(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.last.ends(7)
        self.assertEqual(self.told(), [("hook_failed", "download", "Exit code: 7")])
        self.assert_idle()

    def test_signal(self) -> None:
        for number, name in ((11, "SIGSEGV"), (40, "real-time signal")):
            self.run_hook(Hook.READY)
            self.reactor.last.ends(signal=number)
            message = f"Killed by signal {number} ({name})"
            self.assertEqual(self.told(), [("hook_failed", "ready", message)])

    def test_retry(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.advance(2.9)
        self.reactor.last.ends(3)
        self.assertEqual(self.told(), [])
        self.reactor.advance(9.9)
        self.assertEqual(len(self.reactor.processes), 1)
        self.reactor.advance(0.2)
        self.assertEqual(self.command()[2:4], [b"13", b"1"])
        self.assertEqual(self.reactor.last.env[b"UPPARAT_RETRY"], b"1")
        self.assertEqual(self.reactor.last.env[b"UPPARAT_ELAPSED"], b"13")
        self.reactor.last.launched()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("download_allowed",)])
        self.assert_idle()

    def test_retries_used_up(self) -> None:
        self.runner.run(Hook.READY, JOB)
        for _ in range(3):
            self.assertEqual(self.told(), [])
            self.reactor.last.launched()
            self.reactor.last.ends(3)
            self.reactor.advance(10)
        self.assertEqual(self.told(), [("hook_failed", "ready", "Timeout after 30s")])
        self.assertEqual(len(self.reactor.processes), 3)
        self.assert_idle()

    def test_no_wait_after_the_last_retry(self) -> None:
        self.make(max_retries=1)
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        self.assertEqual(self.told(), [("hook_failed", "ready", "Timeout after 10s")])

    def test_retries_start_anew_with_the_next_run(self) -> None:
        self.make(max_retries=1)
        for _ in range(2):
            self.reactor.advance(5)
            self.run_hook(Hook.READY)
            self.assertEqual(self.command()[2:4], [b"0", b"0"])
            self.reactor.last.ends(3)

    def test_not_configured(self) -> None:
        self.make(commands={})
        self.runner.run(Hook.READY, JOB)
        self.assertEqual(self.told(), [("hook_failed", "ready", "is not configured")])

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


class LaunchTests(HookTestCase):
    """Commands that cannot be executed, and a launcher that cannot either."""

    def refused(self, number: int) -> str:
        self.run_hook(Hook.VERSION)
        self.prints(str(number).encode(), fd=3)
        self.reactor.last.ends()
        ((name, hook, message),) = self.told()
        self.assertEqual((name, hook), ("hook_failed", "version"))
        return str(message)

    def test_reason(self) -> None:
        self.assertEqual(self.refused(errno.ENOEXEC), "cannot be executed: Exec format error")
        self.assertEqual(self.refused(errno.EACCES), "cannot be executed: Permission denied")
        self.assertEqual(
            self.refused(errno.ENOENT), "cannot be executed: No such file or directory"
        )

    def test_missing_interpreter(self) -> None:
        self.make(commands={Hook.VERSION: (__file__,)})
        message = f"cannot be executed: the interpreter that {__file__} names was not found"
        self.assertEqual(self.refused(errno.ENOENT), message)

    def test_launcher_cannot_be_spawned(self) -> None:
        self.reactor.failures = [FileNotFoundError(errno.ENOENT, "python")]
        self.runner.run(Hook.VERSION, JOB)
        self.assertEqual(self.reactor.last.argv[0], b"/hooks/version")
        self.prints(b"2.0\n")
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "2.0")])

    def test_nothing_can_be_spawned(self) -> None:
        self.reactor.failures = [OSError(errno.E2BIG, ""), OSError(errno.E2BIG, "")]
        self.runner.run(Hook.VERSION, JOB)
        message = "cannot be executed: Argument list too long"
        self.assertEqual(self.told(), [("hook_failed", "version", message)])
        self.assert_idle()

    def test_launcher_fails(self) -> None:
        self.runner.run(Hook.VERSION, JOB)
        self.reactor.last.ends(1)
        self.assertEqual(self.told(), [])
        self.assertEqual(self.reactor.last.argv[0], b"/hooks/version")
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.assertEqual(self.reactor.last.argv[0], b"/hooks/version")
        self.assertEqual(self.reactor.last.argv[2:4], [b"10", b"1"])

    def test_end_before_the_session_is_made(self) -> None:
        self.runner.run(Hook.VERSION, JOB)
        self.runner.release()
        self.assertEqual(self.reactor.last.signals, [TERM])
        self.reactor.last.ends(signal=15)
        self.assertEqual(self.told(), [("released",)])
        self.assertEqual(len(self.reactor.processes), 1)


class OutputTests(HookTestCase):
    """What a hook prints."""

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

    def stderr(self, code: int) -> list[tuple[Any, str]]:
        with capturedLogs() as logs:
            self.run_hook(Hook.READY)
            self.prints(b"a\x1b[1mb\n\x07\nlast", fd=2)
            self.reactor.last.ends(code)
        return [(log["log_level"], log["line"]) for log in logs if "stderr" in log["log_format"]]

    def test_stderr_of_a_failed_hook_is_a_warning(self) -> None:
        self.assertEqual(self.stderr(1), [(LogLevel.warn, "ab"), (LogLevel.warn, "last")])

    def test_stderr_of_others_is_information(self) -> None:
        self.assertEqual(self.stderr(0), [(LogLevel.info, "ab"), (LogLevel.info, "last")])
        self.assertEqual(self.stderr(3), [(LogLevel.info, "ab"), (LogLevel.info, "last")])

    def test_stderr_is_bounded(self) -> None:
        with capturedLogs() as logs:
            self.run_hook(Hook.READY)
            self.prints(b"noise\n" * 10000, fd=2)
            self.reactor.last.ends(1)
        self.assertEqual(len([log for log in logs if log.get("line") == "noise"]), STDERR_TAIL)

    def test_secrets_stay_out_of_the_log(self) -> None:
        with capturedLogs() as logs:
            for hook in Hook:
                self.run_hook(hook)
                self.reactor.last.ends(1)
        self.assertNotIn("secret", repr(logs))
        self.assertNotIn("mäta", repr(logs))

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


class LineTests(SynchronousTestCase):
    def test_long_line_keeps_both_ends(self) -> None:
        lines = Lines()
        for _ in range(1000):
            self.assertEqual(lines.feed(b"a" * HALF), [])
        lines.feed(b"b" * HALF)
        self.assertEqual(lines.feed(b"\nnext\n"), ["a" * HALF + " … " + "b" * HALF, "next"])

    def test_line_that_just_fits(self) -> None:
        lines = Lines()
        line = "a" * HALF + "b" * HALF
        for byte in line.encode():
            lines.feed(bytes([byte]))
        self.assertEqual(lines.flush(), [line])
        self.assertEqual(lines.flush(), [])

    def test_omission_is_forgotten(self) -> None:
        lines = Lines()
        lines.feed(b"x" * 3 * HALF)
        lines.flush()
        lines.feed(b"y" * 2 * HALF)
        self.assertEqual(lines.flush(), ["y" * 2 * HALF])


class TimeOutTests(HookTestCase):
    """A hook that takes too long."""

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

    def test_each_try_has_its_own(self) -> None:
        self.run_hook(Hook.DOWNLOAD)
        self.reactor.advance(99)
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.reactor.advance(99)
        self.assertEqual(self.reactor.kills, [])
        self.reactor.advance(1)
        self.assertEqual(self.reactor.kills, [(1001, TERM)])


class ReleaseTests(HookTestCase):
    """Nobody waits for the hook any more."""

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


class VersionOfOneTryTests(HookTestCase):
    def test_what_an_earlier_try_printed_does_not_count(self) -> None:
        self.run_hook(Hook.VERSION)
        self.prints(b"2.0\n")
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("version_known", "")])


class AttemptsTests(HookTestCase):
    """Counters that go on after a crash."""

    def test_every_run_is_noted_before_it_begins(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.assertEqual(self.attempts.calls, [(Hook.READY, 0, 0.0), (Hook.READY, 1, 10.0)])
        self.reactor.last.ends()
        self.assertEqual(self.attempts.calls[2:], [("over", Hook.READY)])

    def test_a_run_that_was_cut_off_counts(self) -> None:
        self.attempts.before = (1, 40.0)
        self.run_hook(Hook.READY)
        self.assertEqual(self.command()[2:4], [b"40", b"2"])
        self.reactor.last.ends(3)
        self.assertEqual(self.told(), [("hook_failed", "ready", "Timeout after 30s")])

    def test_a_hook_that_takes_the_agent_down_each_time(self) -> None:
        self.attempts.before = (3, 40.0)
        self.runner.run(Hook.READY, JOB)
        message = "Given up: the agent was stopped in the last of 4 runs"
        self.assertEqual(self.told(), [("hook_failed", "ready", message)])
        self.assertEqual(self.attempts.calls, [("over", Hook.READY)])

    def test_a_restart_hook_that_stops_the_agent_has_restarted_it(self) -> None:
        self.run_hook(Hook.RESTART)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(self.attempts.calls[1:], [("left",)])

    def test_a_restart_hook_that_falls_with_the_device_has_not_failed(self) -> None:
        self.make(restart_grace=5.0)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGKILL):
            self.attempts.calls.clear()
            self.run_hook(Hook.RESTART)
            self.reactor.last.ends(signal=number)
            self.assertEqual((self.told(), self.attempts.calls[1:]), ([], [("left",)]))
            self.reactor.advance(5)
            [(told, hook, message)] = self.told()
            self.assertEqual((told, hook), ("hook_failed", "restart"))
            self.assertTrue(message.startswith(f"Killed by signal {number:d}"))

    def test_another_signal_is_its_own_fault(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.ends(signal=signal.SIGSEGV)
        self.assertEqual(self.told()[0][:2], ("hook_failed", "restart"))

    def test_the_device_goes_down_in_that_time(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.ends(signal=signal.SIGTERM)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual((self.told(), self.reactor.getDelayedCalls()), ([], []))

    def test_one_that_waits_for_its_next_try_has_not(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.ends(3)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(self.attempts.calls, [(Hook.RESTART, 0, 0.0)])

    def test_a_stop_of_the_agent_forgets_nothing(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(self.attempts.calls, [(Hook.READY, 0, 0.0)])


class PidfileTests(HookTestCase):
    """What a later agent finds a hook by."""

    def test_there_while_the_hook_runs(self) -> None:
        for hook in Hook:
            self.run_hook(hook)
            self.assertEqual(self.pidfiles.pids, {hook: self.reactor.last.group})
            self.reactor.last.ends()
            self.assertEqual(self.pidfiles.pids, {})

    def test_written_before_the_command_may_begin(self) -> None:
        seen: list[bytes] = []
        self.patch(self.pidfiles, "write", lambda hook, pid: seen.append(self.reactor.last.stdin))
        self.run_hook(Hook.INSTALL)
        self.assertEqual((seen, self.reactor.last.stdin), ([b""], b"\n"))

    def test_without_a_group_there_is_none(self) -> None:
        self.reactor.failures.append(OSError(2, "no Python"))
        self.runner.run(Hook.INSTALL, JOB)
        self.assertEqual((self.pidfiles.pids, self.reactor.last.stdin), ({}, b""))
        self.assertTrue(self.reactor.last.empty_stdin)

    def test_kept_for_a_restart_hook_that_goes_on(self) -> None:
        self.run_hook(Hook.RESTART)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(list(self.pidfiles.pids), [Hook.RESTART])

    def test_kept_for_what_cannot_be_ended(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.forbidden = True
        self.reactor.pump([100, GRACE, GRACE])
        self.assertEqual(list(self.pidfiles.pids), [Hook.READY])


class BrokenTests(HookTestCase):
    def test_a_fault_of_ours_ends_the_hook(self) -> None:
        def raises(*_: object) -> None:
            raise ValueError("nonsense")

        self.patch(self.attempts, "begun", raises)
        self.runner.run(Hook.READY, JOB)
        self.assertEqual(self.told(), [("hook_failed", "ready", "cannot be run: nonsense")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)


class LingeringRestartTests(HookTestCase):
    """A restart hook of an earlier agent goes on."""

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
