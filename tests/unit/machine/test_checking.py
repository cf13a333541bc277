"""What runs after the restart."""

from __future__ import annotations

from dataclasses import replace

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import ALL_HOOKS, USUAL_HOOKS, execution, key
from tests.unit.machine.bench import IN_PROGRESS, Life, ended, summary
from upparat.job import Hook, State
from upparat.ports import Memory


class VerifyInstallationTests(SynchronousTestCase):
    def rebooted(self, hooks: frozenset[Hook], memory: Memory | None = None) -> Life:
        life = Life(hooks).started(memory)
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.quiet().machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        return life

    def test_no_version_hook(self) -> None:
        life = self.rebooted(frozenset({Hook.READY}))
        self.assertEqual(
            life.taken(),
            [
                ("follow", "a"),
                ("record restarted", "a"),
                *ended("a", "complete_no_version_check"),
            ],
        )

    def test_nothing_is_complete_while_the_restart_is_not(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        life = self.rebooted(frozenset({Hook.RESTART}), memory)
        self.assertEqual(life.taken(), [("follow", "a"), ("report", "a", "reboot_start", "none")])

    def test_without_a_version_hook_a_device_that_may_be_going_down_is_waited_for(self) -> None:
        life = Life(frozenset({Hook.RESTART})).started(
            Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        )
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.quiet().machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
        self.assertEqual(life.taken(), [("follow", "a"), ("timer", 10.0)])
        life.timer.time += 10.0
        life.machine.timeout()
        self.assertEqual(life.taken(), ended("a", "complete_no_version_check"))

    def test_without_a_version_hook_the_end_of_the_restart_hook_is_waited_for(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        for never_ends in (False, True):
            life = Life(frozenset({Hook.RESTART})).started(memory)
            life.hooks.lingering = True
            life.machine.pending([summary(status=IN_PROGRESS)], [])
            life.quiet().machine.described(execution(status=IN_PROGRESS, state="reboot_start"))
            self.assertEqual(life.taken(), [("follow", "a"), ("timer", 10.0)])
            life.timer.time += 300.0 if never_ends else 10.0
            life.hooks.lingering = never_ends
            life.machine.timeout()
            if not never_ends:
                self.assertEqual(life.taken(), [("timer", 10.0)])
                life.timer.time += 10.0
                life.machine.timeout()
            self.assertEqual(life.taken(), ended("a", "complete_no_version_check"))

    def test_without_a_version_hook_a_device_that_has_restarted_is_done(self) -> None:
        memory = Memory(key(), True, same_boot=False, restart_attempts=1, restart_done=True)
        life = self.rebooted(frozenset({Hook.RESTART}), memory)
        self.assertEqual(life.taken(), [("follow", "a"), *ended("a", "complete_no_version_check")])

    def test_soft_restart_without_a_version_hook_is_not_called_verified(self) -> None:
        life = Life(frozenset({Hook.INSTALL, Hook.RESTART})).started()
        life.machine.pending([], [summary()])
        life.machine.described(execution())
        life.machine.downloaded("/file")
        life.machine.installed()
        life.machine.delivered(State.REBOOT_START)
        life.machine.restarted()
        life.quiet().machine.timeout()
        self.assertEqual(
            life.taken(), [("installation", None), *ended("a", "complete_no_version_check")]
        )

    def test_no_ready_hook(self) -> None:
        life = self.rebooted(frozenset({Hook.VERSION})).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), ended("a", "complete_no_ready_check"))

    def test_a_reboot_with_the_wrong_version_fails_at_once(self) -> None:
        life = self.rebooted(USUAL_HOOKS).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_within_the_same_boot_the_version_may_still_come(self) -> None:
        memory = Memory(
            key(), restart_accepted=True, same_boot=True, restart_attempts=1, restart_done=True
        )
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("timer", 60.0)])

    def test_a_restart_that_was_cut_short_is_repeated(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=2)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])
        life.machine.delivered(State.REBOOT_START)
        self.assertEqual(life.taken(), [("record restarting", "a"), ("run", "restart", "a")])

    def test_a_restart_hook_that_outlives_the_agent_has_its_time(self) -> None:
        """The version may change until it has ended, and for ``restart_timeout`` afterwards."""
        for unfinished in (False, True):
            memory = Memory(
                key(), True, same_boot=True, restart_attempts=1, restart_done=not unfinished
            )
            life = self.rebooted(USUAL_HOOKS, memory).quiet()
            life.hooks.lingering = True
            for _ in range(10):
                life.machine.version_known("1.0")
                self.assertEqual(life.taken(), [("timer", 60.0)])
                life.timer.time += 60
                life.machine.timeout()
                self.assertEqual(life.taken(), [("run", "version", "a")])
            life.hooks.lingering = False
            life.machine.version_known("1.0")
            self.assertEqual(
                life.taken(),
                [("report", "a", "reboot_start", "none")] if unfinished else [("timer", 60.0)],
            )

    def test_the_time_for_the_version_counts_from_its_end(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        life = self.rebooted(USUAL_HOOKS, memory)
        life.hooks.lingering = True
        life.machine.version_known("1.0")
        life.hooks.lingering = False
        life.timer.time += 60 + 300 - 0.5
        life.quiet().machine.version_known("1.0")
        self.assertEqual(life.taken(), [("timer", 0.5)])
        life.timer.time += 0.5
        life.machine.version_known("1.0")
        mismatch = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", mismatch))

    def test_its_right_version_is_not_waited_for(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=True)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.hooks.lingering = True
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_version_hook_that_fails_while_the_device_may_go_down_says_nothing(self) -> None:
        """And another job must not begin meanwhile."""
        for done in (False, True):
            memory = Memory(key(), True, same_boot=True, restart_attempts=1, restart_done=done)
            life = self.rebooted(USUAL_HOOKS, memory).quiet()
            life.timer.time += 4
            life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
            self.assertEqual(life.taken(), [("timer", 6.0)])
            life.timer.time += 6
            life.machine.timeout()
            self.assertEqual(life.taken(), [("run", "version", "a")])
            life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
            self.assertEqual(life.taken(), ended("a", "version_hook_failed", "Exit code: 7"))

    def test_nor_while_the_restart_hook_still_runs_and_a_while_afterwards(self) -> None:
        memory = Memory(key(), True, same_boot=True, restart_attempts=1)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.hooks.lingering = True
        for _ in range(3):
            life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
            self.assertEqual(life.taken(), [("timer", 10.0)])
            life.timer.time += 10
            life.machine.timeout()
            self.assertEqual(life.taken(), [("run", "version", "a")])
        life.hooks.lingering = False
        life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
        self.assertEqual(life.taken(), [("timer", 10.0)])
        life.timer.time += 10
        life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
        self.assertEqual(life.taken(), ended("a", "version_hook_failed", "Exit code: 7"))

    def test_a_restart_that_was_never_begun_is_not_asked_about(self) -> None:
        """What is installed may say the new version before anybody runs it."""
        life = self.rebooted(USUAL_HOOKS, Memory(key(), same_boot=True))
        self.assertEqual(life.taken(), [("follow", "a"), ("report", "a", "reboot_start", "none")])

    def test_restarts_that_cannot_be_counted_are_not_begun(self) -> None:
        life = Life().restarting().quiet()
        life.record.writable = False
        life.machine.delivered(State.REBOOT_START)
        self.assertEqual(
            life.taken(),
            [
                ("record restarting", "a"),
                *ended("a", "restart_hook_failed", "The record cannot be written"),
            ],
        )

    def test_the_file_is_not_needed_any_more(self) -> None:
        life = Life().started()
        life.machine.pending([summary(status=IN_PROGRESS)], [])
        life.machine.described(execution(status=IN_PROGRESS, state="reboot_start", file="${no}"))
        self.assertEqual(life.state, "verify_installation")

    def test_a_power_cut_before_the_restart_hook_is_no_restart(self) -> None:
        memory = Memory(key(), same_boot=False)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_a_power_cut_in_the_restart_hook_may_have_been_the_restart(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=1)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_power_cut_in_the_restart_hook_that_was_none_is_made_up_for(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=2)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        self.assertEqual(life.taken(), [("report", "a", "reboot_start", "none")])

    def test_power_cuts_in_each_run_of_the_restart_hook_are_a_mismatch(self) -> None:
        """Reboots without a last word look the same: nothing is told that is not known."""
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=3)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_an_orderly_reboot_with_the_wrong_version_fails_at_once(self) -> None:
        memory = Memory(key(), True, same_boot=False, restart_attempts=1, restart_done=True)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))

    def test_a_power_cut_in_the_restart_hook_counts_where_no_version_is_known(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=False, restart_attempts=1)
        life = self.rebooted(frozenset({Hook.RESTART}), memory)
        self.assertEqual(life.taken()[1:], ended("a", "complete_no_version_check"))

    def test_a_restart_that_was_cut_short_may_have_worked(self) -> None:
        """Or the device may still be going down: a version hook may name what is installed."""
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=1)
        for done in (False, True):
            life = self.rebooted(USUAL_HOOKS, replace(memory, restart_done=done))
            self.assertEqual(life.taken()[1:], [("timer", 10.0)])
            life.timer.time += 10
            life.machine.timeout()
            self.assertEqual(life.taken(), [("run", "version", "a")])
            life.machine.version_known("2.0")
            self.assertEqual(life.taken(), [("installation", "restarted"), ("run", "ready", "a")])

    def test_a_restart_hook_that_waits_has_restarted_nothing(self) -> None:
        """Whatever the version hook reads, and however often the agent was started meanwhile."""
        for same_boot in (True, False):
            memory = Memory(
                key(), True, same_boot=same_boot, restart_attempts=3, restart_waiting=True
            )
            life = self.rebooted(USUAL_HOOKS, memory)
            self.assertEqual(life.taken()[1:], [("report", "a", "reboot_start", "none")])

    def test_a_success_that_was_not_delivered_is_looked_at_again(self) -> None:
        success = State.COMPLETE_SOFT_RESTART
        memory = Memory(key(), True, same_boot=True, restart_done=True, verified=success)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        message = "Expected version '2.0', got '1.0'"
        self.assertEqual(life.taken(), ended("a", "version_mismatch", message))
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("2.0")
        self.assertEqual(life.taken(), ended("a", "complete_soft_restart"))

    def test_a_version_hook_that_fails_does_not_take_it_back(self) -> None:
        """A single failure of the hook must not undo what was confirmed."""
        success = State.COMPLETE_SOFT_RESTART
        for same_boot in (True, False):
            memory = Memory(key(), True, same_boot=same_boot, restart_done=True, verified=success)
            life = self.rebooted(ALL_HOOKS, memory).quiet()
            for empty in (True, False, True, False, False):
                if empty:
                    life.machine.version_known("")
                else:
                    life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
                self.assertEqual(life.taken(), [("timer", 60.0)])
                life.timer.time += 60
                life.machine.timeout()
                self.assertEqual(life.taken(), [("run", "version", "a")])
            life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
            self.assertEqual(life.state, "rollback")

    def test_after_another_reboot_the_ready_hook_is_asked_again(self) -> None:
        success = State.COMPLETE_SOFT_RESTART
        memory = Memory(key(), True, same_boot=False, restart_done=True, verified=success)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("2.0")
        self.assertIn(("run", "ready", "a"), life.taken())

    def test_a_restart_is_not_repeated_for_ever(self) -> None:
        memory = Memory(key(), restart_accepted=True, same_boot=True, restart_attempts=3)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.version_known("1.0")
        message = "The agent was stopped in each of 3 runs of the restart hook"
        self.assertEqual(life.taken(), ended("a", "restart_hook_failed", message))

    def test_soft_restart_asks_until_the_time_is_over(self) -> None:
        life = Life(restart_timeout=100.0).checking().quiet()
        life.machine.version_known("1.0")
        life.timer.time += 60
        life.machine.timeout()
        life.machine.version_known("1.0")
        life.timer.time += 30
        life.machine.timeout()
        life.machine.version_known("1.0")
        self.assertEqual(
            life.taken(),
            [
                ("timer", 60.0),
                ("run", "version", "a"),
                ("timer", 30.0),
                ("run", "version", "a"),
                *ended("a", "version_mismatch", "Expected version '2.0', got '1.0'"),
            ],
        )

    def test_after_a_reboot_it_has_failed(self) -> None:
        memory = Memory(key(), True, same_boot=False, restart_attempts=1, restart_done=True)
        life = self.rebooted(USUAL_HOOKS, memory).quiet()
        life.machine.hook_failed(Hook.VERSION, "Exit code: 7", {})
        self.assertEqual(life.taken(), ended("a", "version_hook_failed", "Exit code: 7"))

    def test_hooks_fail(self) -> None:
        for hook, state in (
            (Hook.VERSION, "version_hook_failed"),
            (Hook.READY, "ready_hook_failed"),
        ):
            life = Life().checking().quiet()
            life.machine.hook_failed(hook, "Exit code: 7", {})
            self.assertEqual(life.taken(), ended("a", state, "Exit code: 7"))
