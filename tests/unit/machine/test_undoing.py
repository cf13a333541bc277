"""The way back from an installation that has failed."""

from __future__ import annotations

from upparat.job import Hook, State
from upparat.machine.model import BY_OTHERS, OTHERS
from upparat.snapshots import WaitKind

from .bench import Life
from .test_rollback import ALL_HOOKS, RollbackBench


class UndoingTests(RollbackBench):
    def rolling_back(self, hooks: frozenset[Hook] = ALL_HOOKS) -> Life:
        return Life(hooks).rolling_back().quiet()

    def test_the_first_reason_and_what_runs_are_told(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(False)
        self.assertEqual(life.taken(), [("run", "version", "a")])
        life.machine.version_known("1.0")
        self.assertEqual(
            self.reported(life.taken()),
            [("report", "a", "installation_hook_failed", "Exit code: 1")],
        )
        self.assertEqual(
            life.jobs.facts,
            {
                "hook": "install",
                "rollback": "done",
                "running": "1.0",
                "agent": "",
                "from": "1.0",
                "to": "2.0",
            },
        )

    def test_a_rollback_that_fails(self) -> None:
        life = self.rolling_back()
        life.machine.hook_failed(Hook.ROLLBACK, "Exit code: 9", {"exit_code": "9"})
        life.machine.version_known("2.0")
        self.assertEqual(
            self.reported(life.taken()),
            [("report", "a", "installation_hook_failed", "Exit code: 1")],
        )
        self.assertEqual(life.jobs.facts["rollback"], "failed")
        self.assertEqual(life.jobs.facts["running"], "2.0")

    def test_nobody_knows_what_runs(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(False)
        life.machine.hook_failed(Hook.VERSION, "Exit code: 1", {})
        self.assertEqual((life.state, life.jobs.facts["running"]), ("cleanup", ""))

    def test_without_a_version_hook(self) -> None:
        life = self.rolling_back(ALL_HOOKS - {Hook.VERSION})
        life.machine.rolled_back(False)
        self.assertEqual((life.state, life.jobs.facts["rollback"]), ("cleanup", "done"))

    def test_a_restart_is_asked_for(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(True)
        self.assertEqual(life.taken(), [("run", "restart", "a")])
        life.machine.restarted()
        self.assertEqual(life.taken(), [("timer", 10.0)])
        life.machine.timeout()
        self.assertEqual(life.taken(), [("run", "version", "a")])
        life.machine.version_known("1.0")
        self.assertEqual(life.jobs.facts["rollback"], "done")

    def test_the_version_changes_a_while_after_the_restart(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(True)
        life.machine.restarted()
        life.machine.timeout()
        life.taken()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("timer", 60.0)])
        wait = life.core.wait(60.0)
        assert wait is not None
        self.assertEqual((wait.kind, wait.limit), (WaitKind.RESTART_TIMEOUT, 300.0))
        life.timer.time += 300.0
        life.machine.timeout()
        life.machine.version_known("2.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")

    def test_the_version_before_was_the_same(self) -> None:
        """A repaired installation, perhaps: that its version runs tells nothing of the rollback."""
        for before, outcome in (("2.0", "unknown"), ("", "unknown"), ("1.0", "failed")):
            life = self.rolling_back()
            life.core.replaced = before
            life.machine.rolled_back(True)
            life.machine.restarted()
            life.machine.timeout()
            life.quiet().machine.version_known("2.0")
            self.assertEqual(life.taken(), [("timer", 60.0)], "it may still change")
            life.timer.time += 300
            life.machine.timeout()
            life.machine.version_known("2.0")
            self.assertEqual(life.jobs.facts["rollback"], outcome)

    def test_a_restart_that_was_cut_short(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(True)
        life.machine.timeout()
        life.taken()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("run", "restart", "a")])

    def test_the_restart_hook_fails(self) -> None:
        life = self.rolling_back()
        life.machine.rolled_back(True)
        life.machine.hook_failed(Hook.RESTART, "Exit code: 1", {})
        life.machine.version_known("2.0")
        self.assertEqual(life.jobs.facts["rollback"], "failed")

    def test_cancelled_in_between(self) -> None:
        """It goes on, and AWS hears nothing more."""
        life = self.rolling_back()
        life.machine.cancelled()
        self.assertEqual((life.state, life.taken()), ("rollback", [("unfollow",)]))
        life.machine.rolled_back(False)
        life.machine.version_known("1.0")
        calls = life.taken()
        self.assertEqual(self.reported(calls), [])
        self.assertIn(("run", "cleanup", "a", OTHERS, "nothing more is done for it"), calls)

    def test_a_cancel_after_the_restart_is_taken_back(self) -> None:
        for life in (Life(ALL_HOOKS).restart_running(), Life(ALL_HOOKS).checking()):
            life.machine.cancelled()
            self.assertEqual(life.state, "wind_down")
            life.machine.released()
            life.machine.timeout()
            self.assertEqual(life.state, "rollback")
            self.assertEqual(life.taken()[-1], ("run", "rollback", "a", OTHERS, BY_OTHERS))

    def test_stopped(self) -> None:
        life = self.rolling_back()
        life.machine.stop()
        self.assertEqual((life.state, life.taken()), ("stopped", []))

    def unremembered(self) -> Life:
        """The record cannot be written."""
        life = Life(ALL_HOOKS).installing().quiet()
        life.record.writable = False
        life.machine.hook_failed(Hook.INSTALL, "Exit code: 1", {})
        self.assertNotIn("run", [each[0] for each in life.taken()])
        return life

    def test_without_a_record_aws_has_to_remember_it(self) -> None:
        reason = ("installation_hook_failed", "Exit code: 1")
        for hear in (
            lambda life: life.machine.delivered(State.ROLLBACK_START),
            lambda life: life.machine.undeliverable(State.ROLLBACK_START),
        ):
            life = self.unremembered()
            life.machine.delivered(State.INSTALLATION_START)
            self.assertEqual(life.taken(), [])
            hear(life)
            hear(life)
            self.assertEqual(life.taken(), [("run", "rollback", "a", *reason)])

    def test_without_a_record_and_cancelled(self) -> None:
        life = self.unremembered()
        life.machine.cancelled()
        self.assertEqual(life.taken()[-1], ("run", "rollback", "a", OTHERS, BY_OTHERS))

    def test_late_news_of_the_report(self) -> None:
        life = self.rolling_back()
        life.machine.undeliverable(State.ROLLBACK_START)
        self.assertEqual((life.state, life.taken()), ("rollback", []))
