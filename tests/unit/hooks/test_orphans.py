"""Hooks of an agent that was killed, on a clock."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.hooks.child import GRACE
from upparat.hooks.orphans import POLL, Orphans
from upparat.hooks.pidfiles import HookGroup, Pidfiles
from upparat.job import Hook

TERM, KILL = signal.SIGTERM, signal.SIGKILL


class OrphansTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.found: set[HookGroup] = set()
        self.pidfiles = Pidfiles(Path(self.mktemp()))
        self.signals: list[tuple[int, int]] = []
        timeouts = dict.fromkeys(Hook, 100.0)
        self.orphans = Orphans(
            self.clock,
            timeouts,
            self.pidfiles,
            find=lambda entries: set(self.found),
            killpg=lambda group, number: self.signals.append((group, number)),
        )

    def test_nothing_left(self) -> None:
        self.successResultOf(self.orphans.wait_for_leftovers())
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_an_install_hook_is_waited_for(self) -> None:
        self.found = {HookGroup(7, Hook.INSTALL)}
        settled = self.orphans.wait_for_leftovers()
        self.clock.pump([POLL] * 20)
        self.assertNoResult(settled)
        self.found = set()
        self.clock.advance(POLL)
        self.successResultOf(settled)
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_but_not_for_ever(self) -> None:
        self.found = {HookGroup(7, Hook.INSTALL)}
        settled = self.orphans.wait_for_leftovers()
        self.clock.pump([POLL] * 200)
        self.assertEqual(self.signals, [(7, TERM)])
        self.clock.advance(GRACE)
        self.assertEqual(self.signals, [(7, TERM), (7, KILL)])
        self.assertNoResult(settled)

    def test_one_that_cannot_be_ended(self) -> None:
        """It is not waited for, nor does its pidfile go: the next agent may have more power."""
        self.pidfiles.write(Hook.VERSION, os.getpid())
        self.found = {HookGroup(7, Hook.VERSION)}
        settled = self.orphans.wait_for_leftovers()
        self.clock.pump([GRACE, GRACE - POLL])
        self.assertNoResult(settled)
        self.clock.advance(POLL)
        self.successResultOf(settled)
        self.assertEqual(self.signals[:2], [(7, TERM), (7, KILL)])
        self.assertFalse(self.orphans.lingers(Hook.VERSION))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual([each.number for each in self.pidfiles.read()], [os.getpid()])

    def test_others_are_ended_at_once(self) -> None:
        for hook in (Hook.VERSION, Hook.CHECK, Hook.DOWNLOAD, Hook.READY, Hook.CLEANUP):
            self.setUp()
            self.found = {HookGroup(7, hook)}
            settled = self.orphans.wait_for_leftovers()
            self.assertEqual(self.signals, [(7, TERM)])
            self.assertNoResult(settled)
            self.found = set()
            self.clock.advance(POLL)
            self.successResultOf(settled)

    def test_a_restart_hook_may_wait_for_us(self) -> None:
        self.found = {HookGroup(7, Hook.RESTART)}
        self.successResultOf(self.orphans.wait_for_leftovers())
        self.assertEqual(self.signals, [])
        self.clock.pump([POLL] * 200)
        self.assertEqual(self.signals, [(7, TERM)])

    def test_all_gone(self) -> None:
        self.found = {HookGroup(7, Hook.RESTART)}
        self.orphans.wait_for_leftovers()
        self.assertTrue(self.orphans.lingers(Hook.RESTART))
        gone = self.orphans.gone()
        self.assertNoResult(gone)
        self.found = set()
        self.clock.advance(POLL)
        self.successResultOf(gone)
        self.successResultOf(self.orphans.gone())
        self.assertFalse(self.orphans.lingers(Hook.RESTART))

    def test_one_whose_job_is_over_is_left_alone(self) -> None:
        """It may have become the device's application."""
        self.pidfiles.write(Hook.RESTART, os.getpid())
        self.found = {HookGroup(7, Hook.RESTART)}
        self.orphans.wait_for_leftovers()
        gone = self.orphans.gone()
        self.orphans.forget(Hook.RESTART)
        self.successResultOf(gone)
        self.assertEqual(self.pidfiles.read(), set())
        self.clock.pump([POLL] * 300)
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_nobody_waits_any_more(self) -> None:
        self.found = {HookGroup(7, Hook.RESTART)}
        self.orphans.wait_for_leftovers()
        gone = self.orphans.gone()
        gone.cancel()
        self.failureResultOf(gone, CancelledError)
        self.found = set()
        self.clock.advance(POLL)

    def test_this_agents_own_hooks_are_none(self) -> None:
        self.found = {HookGroup(7, Hook.RESTART)}
        self.orphans.wait_for_leftovers()
        self.found = {
            HookGroup(7, Hook.RESTART),
            HookGroup(8, Hook.VERSION),
            HookGroup(9, Hook.INSTALL),
        }
        self.clock.pump([POLL] * 20)
        self.assertEqual(self.signals, [])
        self.found = {HookGroup(8, Hook.VERSION), HookGroup(9, Hook.INSTALL)}
        self.clock.advance(POLL)
        self.successResultOf(self.orphans.gone())

    def test_pidfiles_go_with_what_they_name(self) -> None:
        for hook in Hook:
            self.pidfiles.write(hook, os.getpid())
        self.found = {HookGroup(7, Hook.RESTART), HookGroup(8, Hook.INSTALL)}
        self.orphans.wait_for_leftovers()
        self.assertEqual({each.hook for each in self.pidfiles.read()}, {Hook.INSTALL, Hook.RESTART})
        self.found = {HookGroup(7, Hook.RESTART)}
        self.clock.advance(POLL)
        self.assertEqual({each.hook for each in self.pidfiles.read()}, {Hook.RESTART})
        self.pidfiles.write(Hook.INSTALL, os.getpid())  # this agent's own
        self.found = set()
        self.clock.advance(POLL)
        self.assertEqual({each.hook for each in self.pidfiles.read()}, {Hook.INSTALL})

    def test_stop(self) -> None:
        self.found = {HookGroup(7, Hook.INSTALL)}
        settled = self.orphans.wait_for_leftovers()
        self.orphans.stop()
        self.assertNoResult(settled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_is_gone_already(self) -> None:
        def gone(group: int, number: int) -> None:
            raise ProcessLookupError

        orphans = Orphans(
            self.clock,
            dict.fromkeys(Hook, 1.0),
            self.pidfiles,
            find=lambda *_: {HookGroup(7, Hook.READY)},
            killpg=gone,
        )
        self.assertNoResult(orphans.wait_for_leftovers())
