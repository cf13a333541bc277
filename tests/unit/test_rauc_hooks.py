"""The hooks of ``examples/rauc``: what they ask of RAUC, whatever a power cut has left."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

HOOKS = Path(__file__).parent.parent.parent / "examples" / "rauc"

RAUC = """#!/bin/sh
case $1,${{2-}},$* in
    status,--*) cat {here}/status ;;
    info,*http:*) exit 1 ;;
    info,*) echo "RAUC_MF_VERSION='2.0'" ;;
    *) echo "rauc $*" >>{here}/calls ;;
esac
"""
SLOTS = "RAUC_SLOTS='1 2'\n" + "".join(
    f"RAUC_SLOT_BOOTNAME_{number}='{name}'\nRAUC_SLOT_STATUS_BUNDLE_VERSION_{number}='{version}'\n"
    for number, name, version in ((1, "B", "2.0"), (2, "A", ""))
)


class RaucHooks(SynchronousTestCase):
    def setUp(self) -> None:
        self.here = Path(self.mktemp()).absolute()
        self.tools = self.here / "bin"
        self.tools.mkdir(parents=True)
        self.note = self.here / "note"
        self.tool("rauc", RAUC.format(here=self.here))
        self.tool("systemctl", f'#!/bin/sh\necho "systemctl $*" >>{self.here}/calls\n')

    def tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(script)
        path.chmod(0o755)

    def boot(self, slot: str, note: str = "") -> None:
        """Let this slot run, with such a note; without a slot RAUC does not answer."""
        (self.here / "calls").write_text("")
        (self.here / "status").unlink(missing_ok=True)
        if slot:
            (self.here / "status").write_text(f"RAUC_SYSTEM_BOOTED_BOOTNAME='{slot}'\n{SLOTS}")
        self.note.unlink(missing_ok=True)
        if note:
            self.note.write_text(f"{note}\n")

    def run_hook(self, name: str, argument: str = "") -> tuple[int, str]:
        """The status of a hook, and the last line that it prints."""
        ran = subprocess.run(
            [HOOKS / name, "0", "0", "", argument],
            env={
                "PATH": f"{self.tools}:/usr/bin:/bin",
                "NOTE": str(self.note),
                "BUSY_FILE": str(self.here / "busy"),
                "UPPARAT_VERSION": "2.0",
            },
            capture_output=True,
            text=True,
            check=False,
        )
        return ran.returncode, ran.stdout.splitlines()[-1] if ran.stdout else ""

    @property
    def calls(self) -> list[str]:
        return (self.here / "calls").read_text().splitlines()

    def test_each_asks_again_while_rauc_does_not_answer(self) -> None:
        for name in ("version", "install", "restart", "rollback"):
            self.boot("", note="A install")
            status, _ = self.run_hook(name)
            self.assertEqual((status, self.calls), (3, []), name)
            self.assertEqual(self.note.read_text(), "A install\n")

    def test_version_is_that_of_the_slot_that_runs(self) -> None:
        for slot, version in (("B", "2.0"), ("A", "0~factory")):
            self.boot(slot)
            self.assertEqual(self.run_hook("version"), (0, version))

    def test_install_notes_which_slot_runs_before_it_writes(self) -> None:
        self.boot("A")
        self.assertEqual(self.run_hook("install", "file"), (0, "2.0 is installed"))
        self.assertEqual(self.note.read_text(), "A install\n")
        self.assertEqual(self.calls, ["rauc install file"])

    def test_install_of_a_url(self) -> None:
        """The client cannot look into the bundle before it is installed."""
        self.boot("A")
        self.assertEqual(self.run_hook("install", "http://it"), (0, "2.0 is installed"))
        self.assertEqual(self.calls, ["rauc install http://it"])

    def test_install_of_another_version(self) -> None:
        self.boot("B")
        told = "the bundle has version , and the job 2.0"
        self.assertEqual(self.run_hook("install", "http://it"), (1, told))

    def test_restart_switches_once(self) -> None:
        switched = "rauc status mark-active other"
        for slot, note, calls in (
            ("A", "A install", [switched]),
            ("B", "A install", []),
            ("B", "B rollback", []),
            ("A", "B rollback", []),
            ("B", "", []),
        ):
            self.boot(slot, note)
            self.assertEqual(self.run_hook("restart")[0], 0)
            self.assertEqual(self.calls, [*calls, "systemctl reboot"], (slot, note))

    def test_rollback_where_the_new_slot_runs(self) -> None:
        for note in ("A install", "B rollback", ""):
            self.boot("B", note)
            self.assertEqual(self.run_hook("rollback", "ready_hook_failed"), (0, "restart"), note)
            self.assertEqual(self.calls, ["rauc status mark-active other"])
            self.assertEqual(self.note.read_text(), "B rollback\n")

    def test_rollback_where_the_old_slot_runs(self) -> None:
        for note, state in (
            ("A install", "installation_hook_failed"),
            ("A install", "restart_hook_failed"),
            ("A install", "version_mismatch"),
            ("B rollback", "ready_hook_failed"),
            ("", "installation_hook_failed"),
        ):
            self.boot("A", note)
            told = self.run_hook("rollback", state)
            self.assertEqual(told, (0, "the old version runs, in A"), (note, state))
            self.assertEqual(self.calls, ["rauc status mark-active booted"])

    def test_nothing_else_marks_a_slot_good_while_there_is_a_note(self) -> None:
        unit = (HOOKS / "rauc-mark-good.service").read_text()
        [note] = re.findall(r"^ConditionPathExists=!(.*)$", unit, re.MULTILINE)
        for name in ("install", "restart", "rollback", "cleanup"):
            self.assertIn(f"${{NOTE:-{note}}}", (HOOKS / name).read_text())
