"""Hooks of an agent that was killed, on a clock, and as ``/proc`` shows them."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from upparat.adapters.orphans import POLL, Group, Orphans, find_groups
from upparat.adapters.process import GRACE
from upparat.job import Hook

TERM, KILL = signal.SIGTERM, signal.SIGKILL


class OrphansTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.found: set[Group] = set()
        self.unfinished = set(Hook)
        self.signals: list[tuple[int, int]] = []
        timeouts = dict.fromkeys(Hook, 100.0)
        self.orphans = Orphans(
            self.clock,
            "/state",
            timeouts,
            unfinished=lambda hook: hook in self.unfinished,
            find=lambda agent: set(self.found) if agent == "/state" else set(),
            killpg=lambda group, number: self.signals.append((group, number)),
        )

    def test_nothing_left(self) -> None:
        self.successResultOf(self.orphans.settle())
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_an_install_hook_is_waited_for(self) -> None:
        self.found = {Group(7, Hook.INSTALL)}
        settled = self.orphans.settle()
        self.clock.pump([POLL] * 20)
        self.assertNoResult(settled)
        self.found = set()
        self.clock.advance(POLL)
        self.successResultOf(settled)
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_but_not_for_ever(self) -> None:
        self.found = {Group(7, Hook.INSTALL)}
        settled = self.orphans.settle()
        self.clock.pump([POLL] * 200)
        self.assertEqual(self.signals, [(7, TERM)])
        self.clock.advance(GRACE)
        self.assertEqual(self.signals, [(7, TERM), (7, KILL)])
        self.assertNoResult(settled)

    def test_others_are_ended_at_once(self) -> None:
        for hook in (Hook.VERSION, Hook.DOWNLOAD, Hook.READY):
            self.setUp()
            self.found = {Group(7, hook)}
            settled = self.orphans.settle()
            self.assertEqual(self.signals, [(7, TERM)])
            self.assertNoResult(settled)
            self.found = set()
            self.clock.advance(POLL)
            self.successResultOf(settled)

    def test_what_a_hook_has_left_in_the_background_is_left_alone(self) -> None:
        """It has ended itself, and the agent has seen it: this may be the device's application."""
        self.unfinished = set()
        for hook in Hook:
            self.found = {Group(7, hook, led=False)}
            self.successResultOf(self.orphans.settle())
        self.clock.advance(1000)
        self.assertEqual((self.signals, self.clock.getDelayedCalls()), ([], []))

    def test_the_rest_of_one_that_had_not_ended_counts(self) -> None:
        self.found = {Group(7, Hook.INSTALL, led=False)}
        self.assertNoResult(self.orphans.settle())

    def test_one_that_still_runs_counts_though_the_record_is_lost(self) -> None:
        self.unfinished = set()
        self.found = {Group(7, Hook.INSTALL), Group(7, Hook.INSTALL, led=False)}
        self.assertNoResult(self.orphans.settle())

    def test_a_restart_hook_may_wait_for_us(self) -> None:
        self.found = {Group(7, Hook.RESTART)}
        self.successResultOf(self.orphans.settle())
        self.assertEqual(self.signals, [])
        self.clock.pump([POLL] * 200)
        self.assertEqual(self.signals, [(7, TERM)])

    def test_a_restart_hook_gives_way_to_the_next(self) -> None:
        self.found = {Group(7, Hook.RESTART)}
        self.orphans.settle()
        self.orphans.end(Hook.RESTART)
        self.assertEqual(self.signals, [(7, TERM)])

    def test_end_of_nothing(self) -> None:
        self.orphans.settle()
        self.found = {Group(7, Hook.RESTART)}  # it is not an earlier agent's
        self.orphans.end(Hook.RESTART)
        self.assertEqual(self.signals, [])

    def test_stop(self) -> None:
        self.found = {Group(7, Hook.INSTALL)}
        settled = self.orphans.settle()
        self.orphans.stop()
        self.assertNoResult(settled)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_one_that_is_gone_already(self) -> None:
        def gone(group: int, number: int) -> None:
            raise ProcessLookupError

        orphans = Orphans(
            self.clock,
            "",
            dict.fromkeys(Hook, 1.0),
            find=lambda _: {Group(7, Hook.READY)},
            killpg=gone,
        )
        self.assertNoResult(orphans.settle())


class FindGroupsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.proc = Path(self.mktemp())

    def process(self, pid: int, group: int, state: str = "S", **variables: object) -> None:
        facts = {"UPPARAT_AGENT": "/state", "UPPARAT_GROUP": 7, "UPPARAT_HOOK": "install"}
        directory = self.proc / str(pid)
        directory.mkdir(parents=True)
        (directory / "stat").write_text(f"{pid} (a ) b) {state} 1 {group} {group} 0")
        environment = "".join(f"{k}={v}\0" for k, v in {**facts, **variables}.items())
        (directory / "environ").write_text(environment)

    def found(self) -> set[Group]:
        return find_groups("/state", self.proc)

    def test_a_group(self) -> None:
        self.process(7, 7)
        self.process(8, 7)
        self.assertEqual(self.found(), {Group(7, Hook.INSTALL), Group(7, Hook.INSTALL, led=False)})

    def test_without_its_leader(self) -> None:
        self.process(8, 7)
        self.assertEqual(self.found(), {Group(7, Hook.INSTALL, led=False)})

    def test_a_daemon_with_a_group_of_its_own(self) -> None:
        self.process(8, 8)
        self.assertEqual(self.found(), set())

    def test_another_agents(self) -> None:
        self.process(7, 7, UPPARAT_AGENT="/other")
        self.assertEqual(self.found(), set())

    def test_dead(self) -> None:
        self.process(7, 7, "Z")
        self.assertEqual(self.found(), set())

    def test_our_own_group(self) -> None:
        self.process(7, os.getpgrp(), UPPARAT_GROUP=os.getpgrp())
        self.assertEqual(self.found(), set())

    def test_a_hook_that_we_do_not_know(self) -> None:
        self.process(7, 7, UPPARAT_HOOK="flash")
        self.assertEqual(self.found(), set())

    def test_no_environment_to_be_seen(self) -> None:
        self.process(7, 7)
        (self.proc / "7" / "environ").unlink()
        self.assertEqual(self.found(), set())
