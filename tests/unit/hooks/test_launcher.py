"""The launcher, where it or the command cannot be executed."""

from __future__ import annotations

import errno

from tests.unit.hooks.case import JOB, TERM, HookTestCase
from upparat.hooks.launcher import GUARD_FD, RELEASE
from upparat.job import Hook


class LaunchTests(HookTestCase):
    """Commands that cannot be executed, and a launcher that cannot be started."""

    def test_only_restart_has_another_reader(self) -> None:
        for hook in Hook:
            self.run_hook(hook)
            child = self.reactor.last
            self.assertEqual(GUARD_FD in child.open_fds, hook is Hook.RESTART)
            child.ends()
            told = {GUARD_FD: RELEASE} if hook is Hook.RESTART else {}
            self.assertEqual(child.others, told)

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

    def test_a_fork_that_fails_for_the_moment_is_tried_again(self) -> None:
        for number in (errno.EAGAIN, errno.ENOMEM):
            self.reactor.failures = [OSError(number, "")]
            self.runner.run(Hook.VERSION, JOB)
            self.assertEqual(self.told(), [])
            self.reactor.advance(10)
            self.reactor.last.launched()
            self.prints(b"2.0\n")
            self.reactor.last.ends()
            self.assertEqual(self.told(), [("version_known", "2.0")])
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
