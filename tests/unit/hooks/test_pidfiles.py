"""Process groups of hooks, as ``/proc`` and their pidfiles show them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.hooks.pidfiles import HookGroup, PidfileEntry, Pidfiles, find_groups
from upparat.job import Hook

INSTALL = HookGroup(7, Hook.INSTALL)
ENTRY = PidfileEntry(7, Hook.INSTALL, 500)


class ProcTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.proc = Path(self.mktemp())
        self.proc.mkdir()

    def process(
        self, pid: int, group: int, state: str = "S", started: int = 500, **variables: object
    ) -> None:
        facts = {"UPPARAT_AGENT": "/state", "UPPARAT_GROUP": 7, "UPPARAT_HOOK": "install"}
        directory = self.proc / str(pid)
        directory.mkdir(parents=True)
        numbers = " ".join(["0"] * 16)
        (directory / "stat").write_text(
            f"{pid} (a ) b) {state} 1 {group} {numbers} {started} 0 0\n"
        )
        environment = "".join(f"{k}={v}\0" for k, v in {**facts, **variables}.items())
        (directory / "environ").write_text(environment)

    def without_environment(self, pid: int, group: int, **facts: int) -> None:
        """As ``env -i`` leaves it, or another user's."""
        self.process(pid, group, **facts)  # type: ignore[arg-type]
        (self.proc / str(pid) / "environ").unlink()


class MarkedTests(ProcTestCase):
    """Groups that only the environment tells of."""

    def found(self) -> set[HookGroup]:
        return find_groups("/state", (), self.proc)

    def test_a_group(self) -> None:
        self.process(7, 7)
        self.process(8, 7)
        self.assertEqual(self.found(), {INSTALL})

    def test_what_a_hook_has_left_in_the_background_is_left_alone(self) -> None:
        self.process(8, 7)
        self.assertEqual(self.found(), set())

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
        group = os.getpgrp()
        self.process(group, group, UPPARAT_GROUP=group)
        self.assertEqual(self.found(), set())

    def test_a_hook_that_we_do_not_know(self) -> None:
        self.process(7, 7, UPPARAT_HOOK="flash")
        self.assertEqual(self.found(), set())

    def test_no_environment_to_be_seen(self) -> None:
        self.without_environment(7, 7)
        self.assertEqual(self.found(), set())


class KnownTests(ProcTestCase):
    """Groups whose hook has a pidfile."""

    def found(self) -> set[HookGroup]:
        return find_groups("/state", [ENTRY], self.proc)

    def test_whatever_the_environment_says(self) -> None:
        self.without_environment(7, 7)
        self.assertEqual(self.found(), {INSTALL})

    def test_the_rest_of_one_that_had_not_ended_counts(self) -> None:
        self.without_environment(8, 7, started=600)
        self.assertEqual(self.found(), {INSTALL})

    def test_gone(self) -> None:
        self.without_environment(8, 8)
        self.assertEqual(self.found(), set())

    def test_dead(self) -> None:
        self.process(7, 7, "Z")
        self.assertEqual(self.found(), set())

    def test_the_number_belongs_to_another_process_now(self) -> None:
        self.without_environment(7, 7, started=501)
        self.without_environment(8, 7, started=502)
        self.assertEqual(self.found(), set())


class PidfilesTests(ProcTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.boot_id = self.proc / "boot_id"
        self.boot_id.write_text("boot-1\n")
        self.directory = self.proc / "state" / "of" / "agent"

    def pidfiles(self) -> Pidfiles:
        return Pidfiles(self.directory, self.proc, self.boot_id)

    def test_read_by_the_next_agent(self) -> None:
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        self.assertEqual(self.pidfiles().read(), {ENTRY})
        self.assertEqual(self.directory.stat().st_mode & 0o777, 0o700)

    def test_removed(self) -> None:
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        self.pidfiles().remove(Hook.READY)
        self.pidfiles().remove(Hook.INSTALL)
        self.pidfiles().remove(Hook.INSTALL)
        self.assertEqual(self.pidfiles().read(), set())
        self.assertEqual(list(self.directory.iterdir()), [])

    def test_of_another_boot(self) -> None:
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        self.boot_id.write_text("boot-2\n")
        self.assertEqual(self.pidfiles().read(), set())

    def test_torn(self) -> None:
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        [path] = self.directory.iterdir()
        whole = path.read_text()
        for length in range(len(whole) - 1):
            path.write_text(whole[:length])
            self.assertEqual(self.pidfiles().read(), set(), whole[:length])

    def test_no_boot_id(self) -> None:
        self.boot_id.unlink()
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        self.assertEqual(self.pidfiles().read(), {ENTRY})

    def test_a_process_that_has_ended_already(self) -> None:
        self.pidfiles().write(Hook.INSTALL, 7)
        self.assertEqual(self.pidfiles().read(), set())

    def test_cannot_be_written(self) -> None:
        self.process(7, 7)
        self.directory.parent.mkdir(parents=True)
        self.directory.touch()
        self.pidfiles().write(Hook.INSTALL, 7)
        self.assertEqual(self.pidfiles().read(), set())
