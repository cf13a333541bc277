"""One hook for one job: attempts, time-outs, outcomes."""

from __future__ import annotations

import signal
from typing import Any

from twisted.logger import LogLevel, capturedLogs

from tests.unit.hooks.case import JOB, TERM, HookTestCase
from upparat.hooks.child import GRACE
from upparat.hooks.output import BURST
from upparat.job import Hook


class ResultTests(HookTestCase):
    """Exit statuses, retries and failures."""

    def test_success(self) -> None:
        told: list[tuple[object, ...]] = [
            ("version_known", ""),
            ("compatible",),
            ("download_allowed",),
            ("installed",),
            ("restarted",),
            ("ready",),
            ("rolled_back", False),
            ("cleaned",),
        ]
        for hook, event in zip(Hook, told, strict=True):
            self.run_hook(hook)
            self.reactor.last.ends()
            self.assertEqual(self.told(), [event])
        self.assert_idle()

    def test_a_rollback_asks_for_a_restart(self) -> None:
        for line, restart in ((b"restart\n", True), (b"restart\nno\n", False)):
            self.run_hook(Hook.ROLLBACK)
            self.reactor.last.protocol.childDataReceived(1, line)
            self.reactor.last.ends()
            self.assertEqual(self.told(), [("rolled_back", restart)])

    def test_why_an_update_is_not_for_this_device(self) -> None:
        for line, why in ((b"board B only\n", "board B only"), (b"", "Exit code: 1")):
            self.run_hook(Hook.CHECK)
            self.reactor.last.protocol.childDataReceived(1, line)
            self.reactor.last.ends(1)
            self.assertEqual(self.told(), [("hook_failed", "check", why)])

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


class FactsTests(HookTestCase):
    """What AWS learns of a failure beside its reason."""

    def facts(self) -> dict[str, str]:
        self.assertEqual(self.told()[0][0], "hook_failed")
        return self.listener.facts

    def test_the_last_run(self) -> None:
        self.run_hook(Hook.INSTALL)
        self.prints(b"not this\n", fd=2)
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.reactor.advance(5.5)
        self.prints(b"tar: \x1b[1mshort\x1b[0m read\n\n\x07\nno room", fd=2)
        self.reactor.last.ends(7)
        self.assertEqual(
            self.facts(),
            {
                "hook": "install",
                "runs": "2",
                "seconds": "15",
                "exit_code": "7",
                "stderr": "tar: short read | no room",
            },
        )

    def test_killed(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.last.ends(signal=11)
        facts = {"hook": "ready", "runs": "1", "seconds": "0", "signal": "11", "stderr": ""}
        self.assertEqual(self.facts(), facts)

    def test_retries_used_up(self) -> None:
        self.make(max_retries=1)
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        facts = self.facts()
        self.assertEqual((facts["runs"], facts["exit_code"]), ("1", "3"))

    def test_never_run(self) -> None:
        self.make(commands={})
        self.runner.run(Hook.READY, JOB)
        self.assertEqual(self.facts(), {"hook": "ready", "runs": "0", "stderr": ""})


class TimeOutTests(HookTestCase):
    """Each attempt has a time-out of its own."""

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


class StderrTests(HookTestCase):
    """What a hook writes to stderr goes to the log."""

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

    def test_each_line_is_logged_as_it_comes(self) -> None:
        with capturedLogs() as logs:
            self.run_hook(Hook.READY)
            for fd, text in ((1, b"one\n"), (2, b"two\nthr"), (1, b"four\n"), (2, b"ee\nfive")):
                self.prints(text, fd)
            self.reactor.last.ends(0)
        lines = [(log["stream"], log["line"]) for log in logs if "stream" in log]
        self.assertEqual(
            lines,
            [
                ("stdout", "one"),
                ("stderr", "two"),
                ("stdout", "four"),
                ("stderr", "three"),
                ("stderr", "five"),
            ],
        )
        levels = {log["log_level"] for log in logs if "stream" in log}
        self.assertEqual(levels, {LogLevel.debug})
        repeated = [log["line"] for log in logs if log.get("repeats")]
        self.assertEqual(repeated, ["two", "three", "five"])

    def test_a_flood_leaves_lines_out(self) -> None:
        for fd, stream in ((1, "stdout"), (2, "stderr")):
            with capturedLogs() as logs:
                self.run_hook(Hook.READY)
                self.prints(b"".join(b"%d\n" % number for number in range(BURST + 7)), fd)
                self.reactor.last.ends(0)
            lines = [log["line"] for log in logs if log.get("stream") == stream]
            self.assertEqual(lines[:2], ["… 7 lines are left out …", "7"])
            self.assertEqual(len(lines), 1 + BURST)

    def test_secrets_stay_out_of_the_log(self) -> None:
        with capturedLogs() as logs:
            for hook in Hook:
                self.run_hook(hook)
                self.reactor.last.ends(1)
        self.assertNotIn("secret", repr(logs))
        self.assertNotIn("mäta", repr(logs))


class AttemptsTests(HookTestCase):
    """Counters that go on after a crash."""

    def test_every_run_is_noted_before_it_begins(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        self.reactor.advance(10)
        self.reactor.last.launched()
        self.assertEqual(
            self.attempts.calls,
            [(Hook.READY, 0, 0.0), ("waiting", Hook.READY), (Hook.READY, 1, 10.0)],
        )
        self.reactor.last.ends()
        self.assertEqual(self.attempts.calls[3:], [("over", Hook.READY)])

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
        self.assertEqual(self.told(), [])
        self.assert_idle()

    def test_one_that_waits_for_its_next_try_has_not(self) -> None:
        self.run_hook(Hook.RESTART)
        self.reactor.last.ends(3)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(self.attempts.calls, [(Hook.RESTART, 0, 0.0), ("waiting", Hook.RESTART)])

    def test_a_stop_of_the_agent_forgets_nothing(self) -> None:
        self.run_hook(Hook.READY)
        self.reactor.last.ends(3)
        self.successResultOf(self.runner.shut_down())
        self.assertEqual(self.attempts.calls, [(Hook.READY, 0, 0.0), ("waiting", Hook.READY)])


class PidfileTests(HookTestCase):
    """A run writes and removes the pidfile of its hook."""

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

    def test_a_hook_runs_though_it_cannot_be_written(self) -> None:
        def cannot_be_written(hook: Hook, pid: int) -> None:
            raise OSError(28, "No space left on device")

        self.patch(self.pidfiles, "write", cannot_be_written)
        self.run_hook(Hook.READY)
        self.reactor.last.ends()
        self.assertEqual(self.told(), [("ready",)])

    def test_without_a_group_the_process_alone_is_noted(self) -> None:
        self.reactor.failures.append(OSError(2, "no Python"))
        self.runner.run(Hook.INSTALL, JOB)
        self.assertEqual(self.pidfiles.pids, {Hook.INSTALL: self.reactor.last.pid})
        self.assertEqual(self.reactor.last.stdin, b"")
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
    """A fault of the agent ends the hook."""

    def test_a_fault_of_ours_ends_the_hook(self) -> None:
        def raises(*_: object) -> None:
            raise ValueError("nonsense")

        self.patch(self.attempts, "begun", raises)
        self.runner.run(Hook.READY, JOB)
        self.assertEqual(self.told(), [("hook_failed", "ready", "cannot be run: nonsense")])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
