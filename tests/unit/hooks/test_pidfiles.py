"""Process groups of hooks, as ``/proc`` and their pidfiles show them."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.hooks.pidfiles import (
    HookGroup,
    PidfileEntry,
    Pidfiles,
    find_groups,
    find_installers,
)
from upparat.job import Hook

INSTALL = HookGroup(7, Hook.INSTALL)
ENTRY = PidfileEntry(7, Hook.INSTALL, 500)
RESTART = PidfileEntry(7, Hook.RESTART, 500)
STRANGER = os.geteuid() + 1


class ProcTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.proc = Path(self.mktemp()).absolute()
        self.proc.mkdir(mode=0o755, parents=True)

    def process(
        self,
        pid: int,
        group: int,
        state: str = "S",
        started: int = 500,
        uid: int | None = None,
        **variables: object,
    ) -> None:
        directory = self.proc / str(pid)
        directory.mkdir(parents=True)
        numbers = " ".join(["0"] * 16)
        (directory / "stat").write_text(
            f"{pid} (a ) b) {state} 1 {group} {numbers} {started} 0 0\n"
        )
        real = os.geteuid() if uid is None else uid
        (directory / "status").write_text(f"Name:\ta\nUid:\t{real}\t{os.geteuid()}\n")
        facts = {"UPPARAT_AGENT": "/state", "UPPARAT_GROUP": 7, "UPPARAT_HOOK": "install"}
        environment = "".join(f"{k}={v}\0" for k, v in {**facts, **variables}.items())
        (directory / "environ").write_text(environment)


class FindTests(ProcTestCase):
    def found(self, *entries: PidfileEntry) -> set[HookGroup]:
        return find_groups(entries or (ENTRY,), self.proc)

    def test_one_that_runs(self) -> None:
        self.process(7, 7)
        self.process(8, 8)
        self.assertEqual(self.found(), {INSTALL})
        self.assertEqual(self.found(RESTART), {HookGroup(7, Hook.RESTART)})

    def test_gone(self) -> None:
        self.process(8, 8)
        self.assertEqual(self.found(), set())

    def test_without_a_pidfile_nothing_is_a_hook(self) -> None:
        self.process(7, 7)
        self.assertEqual(find_groups((), self.proc), set())

    def test_the_number_belongs_to_another_process_now(self) -> None:
        self.process(7, 7, started=501)
        self.process(8, 7, started=502)
        self.assertEqual(self.found(), set())

    def test_the_rest_of_an_installation_counts(self) -> None:
        self.process(8, 7, started=600)
        self.assertEqual(self.found(), {INSTALL})

    def test_the_rest_counts_beside_a_zombie(self) -> None:
        self.process(7, 7, "Z")
        self.assertEqual(self.found(), set())
        self.process(8, 7)
        self.assertEqual(self.found(), {INSTALL})

    def test_a_rest_of_zombies(self) -> None:
        self.process(8, 7, "Z")
        self.assertEqual(self.found(), set())

    def test_a_rest_as_root(self) -> None:
        self.process(8, 7, uid=0)
        self.assertEqual(self.found(), {INSTALL})

    def test_the_rest_of_another_user_is_none(self) -> None:
        """He can start a group of the same number, once the hook's has ended."""
        self.process(8, 7, uid=STRANGER)
        self.process(9, 7)
        (self.proc / "9" / "status").unlink()
        self.process(10, 7)
        (self.proc / "10" / "status").write_text("Name:\ta\n")
        self.assertEqual(self.found(), set())

    def test_what_other_hooks_have_started_is_not_the_hook(self) -> None:
        self.process(8, 7)
        for hook in set(Hook) - {Hook.INSTALL, Hook.ROLLBACK}:
            self.assertEqual(self.found(PidfileEntry(7, hook, 500)), set())


class InstallerTests(ProcTestCase):
    """What the environment of an installer says counts as well."""

    def found(self) -> set[PidfileEntry]:
        return find_installers("/state", self.proc)

    def test_the_first_process_of_a_group(self) -> None:
        self.process(7, 7)
        self.process(8, 7)
        self.assertEqual(self.found(), {ENTRY})

    def test_a_rollback_writes_as_well(self) -> None:
        self.process(7, 7, UPPARAT_HOOK="rollback")
        self.assertEqual(self.found(), {PidfileEntry(7, Hook.ROLLBACK, 500)})

    def test_what_is_no_installer_of_this_agent(self) -> None:
        for facts in ({"UPPARAT_AGENT": "/other"}, {"UPPARAT_HOOK": "ready"}, {"UPPARAT_GROUP": 8}):
            self.setUp()
            self.process(7, 7, **facts)
            self.assertEqual(self.found(), set())

    def test_a_stranger(self) -> None:
        self.process(7, 7, uid=STRANGER)
        self.assertEqual(self.found(), set())

    def test_no_environment_to_be_seen(self) -> None:
        self.process(7, 7)
        (self.proc / "7" / "environ").unlink()
        self.assertEqual(self.found(), set())

    def test_one_without_a_pidfile(self) -> None:
        state = self.proc / "state"
        self.process(7, 7, UPPARAT_AGENT=state)
        self.process(9, 9, UPPARAT_AGENT=state, UPPARAT_GROUP=9, UPPARAT_HOOK="restart")
        self.assertEqual(Pidfiles(state, self.proc).read(), {ENTRY})


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
        self.assertRaises(OSError, self.pidfiles().write, Hook.INSTALL, 7)
        self.assertEqual(self.pidfiles().read(), set())
        self.pidfiles().remove(Hook.INSTALL)

    def test_one_that_others_could_have_written(self) -> None:
        self.process(7, 7)
        self.pidfiles().write(Hook.INSTALL, 7)
        self.directory.chmod(0o777)
        self.assertEqual(self.pidfiles().read(), set())
        self.assertRaises(OSError, self.pidfiles().write, Hook.INSTALL, 7)
