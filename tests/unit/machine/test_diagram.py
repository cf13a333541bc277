"""The picture of the machine is the machine's."""

from __future__ import annotations

import contextlib
import io
import re
import shutil
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.machine import machine
from upparat.machine.diagram import DOCS, Transition, dot, main, transitions


def run(*arguments: str) -> tuple[int, str]:
    """The exit status of the command, and what it says on stderr."""
    with contextlib.redirect_stderr(io.StringIO()) as said:
        return main(arguments), said.getvalue()


class Committed(SynchronousTestCase):
    def test_the_dot_is_current(self) -> None:
        self.assertEqual(run("--check"), (0, ""))

    def test_the_picture_was_drawn_from_it(self) -> None:
        titles = re.findall(r"<title>(.*?)</title>", (DOCS / "machine.svg").read_text())
        drawn = {title.replace("&#45;&gt;", "->") for title in titles}
        source = (DOCS / "machine.dot").read_text()
        nodes = set(re.findall(r"^    (\w+) \[label=", source, re.MULTILINE))
        edges = re.findall(r"^    (\S+|\"any state\") -> (\w+) ", source, re.MULTILINE)
        expected = nodes | {f"{old}->{new}".replace('"', "") for old, new in edges}
        self.assertEqual(drawn, expected | {"machine", "any state"})


class Transitions(SynchronousTestCase):
    def test_the_table_without_what_is_ignored(self) -> None:
        table = transitions()
        self.assertIn(Transition("idle", "_tidied", "fetch_jobs"), table)
        self.assertIn(Transition("download", "progressed", "download"), table)
        self.assertNotIn(Transition("idle", "changed", "idle"), table)
        self.assertEqual([each for each in table if each.old == "stopped"], [])

    def test_nothing_that_changes_the_state_is_left_out(self) -> None:
        everything = machine.__automat_automaton__.allTransitions()
        changes = {(old.name, name, new.name) for old, name, new, _ in everything if old != new}
        self.assertLessEqual(changes, set(transitions()))


class Dot(SynchronousTestCase):
    TABLE = (
        Transition("idle", "go", "b"),
        Transition("b", "stay", "b"),
        Transition("b", "_x", "c"),
        Transition("b", "_y", "c"),
        Transition("idle", "stop", "d"),
        Transition("b", "stop", "d"),
        Transition("c", "stop", "d"),
    )

    def lines(self) -> list[str]:
        return [line.strip() for line in dot(self.TABLE).splitlines()]

    def test_inputs_of_one_edge_share_it(self) -> None:
        self.assertIn(r'b -> c [label=" _x \l _y \l"];', self.lines())

    def test_what_stays_is_inside_of_its_state(self) -> None:
        (node,) = (line for line in self.lines() if line.startswith("b [label="))
        self.assertIn(">stay<", node)
        self.assertNotIn("b -> b", dot(self.TABLE))

    def test_what_leads_from_everywhere_is_drawn_once(self) -> None:
        stops = [line for line in self.lines() if "-> d" in line]
        self.assertEqual(stops, [r'"any state" -> d [label=" stop \l", style=dashed];'])

    def test_states_come_in_the_order_in_which_they_are_reached(self) -> None:
        nodes = re.findall(r"^    (\w+) \[label=", dot(self.TABLE), re.MULTILINE)
        self.assertEqual(nodes, ["idle", "b", "d", "c"])


class Command(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir()

    def test_check_tells_of_a_file_that_is_missing_or_outdated(self) -> None:
        for _ in range(2):
            status, said = run("--check", "--directory", str(self.directory))
            self.assertEqual(status, 1)
            self.assertIn("make diagram", said)
            (self.directory / "machine.dot").write_text("digraph {}")

    def test_writes_both_files(self) -> None:
        program = self.directory / "dot"
        program.write_text('#!/bin/sh\ncp "$4" "$3"\n')
        program.chmod(0o755)
        self.patch(shutil, "which", lambda name: str(program.absolute()))
        self.assertEqual(run("--directory", str(self.directory)), (0, ""))
        self.assertEqual((self.directory / "machine.svg").read_text(), dot(transitions()))
        self.assertEqual(run("--check", "--directory", str(self.directory)), (0, ""))

    def test_says_what_to_install(self) -> None:
        self.patch(shutil, "which", lambda name: None)
        status, said = run("--directory", str(self.directory))
        self.assertEqual(status, 1)
        self.assertIn("apt-get install graphviz", said)
        self.assertEqual(list(self.directory.iterdir()), [])
