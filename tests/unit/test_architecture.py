"""Which module may import which: the house keeps its rooms."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

import upparat

PACKAGE = Path(upparat.__file__).parent
PURE = (
    "upparat.version",
    "upparat.job",
    "upparat.minisign",
    "upparat.text",
    "upparat.ports",
    "upparat.proxy",
    "upparat.machine",
)
IMPURE = ("twisted.internet", "paho", "treq", "socket", "subprocess", "os", "pathlib", "sentry_sdk")

ALLOWED = {
    "upparat.text": (),
    "upparat.minisign": (),
    "upparat.job": ("upparat.text", "upparat.minisign"),
    "upparat.ports": ("upparat.job", "upparat.text"),
    "upparat.machine": ("upparat.job", "upparat.text", "upparat.ports", "upparat.version"),
    "upparat.backoff": (),
    "upparat.version": (),
    "upparat.proxy": (),
    "upparat.signatures": ("upparat.minisign",),
    "upparat.sign": ("upparat.signatures",),
    "upparat.config": ("upparat.job", "upparat.text", "upparat.proxy", "upparat.signatures"),
    "upparat.log": ("upparat.text",),
    "upparat.sentry": ("upparat.log", "upparat.text"),
    "upparat.adapters": (
        "upparat.job",
        "upparat.text",
        "upparat.ports",
        "upparat.config",
        "upparat.backoff",
        "upparat.proxy",
        "upparat.minisign",
        "upparat.signatures",
        "upparat.__version__",
    ),
}
"""What a room may import of Upparat, beside itself."""


def modules(*rooms: str) -> Iterator[tuple[str, ast.Module]]:
    """All modules of these rooms, or all there are, with their syntax."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        if not rooms or any(within(name, room) for room in rooms):
            yield name, parsed(path)


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def within(name: str, room: str) -> bool:
    return name == room or name.startswith(f"{room}.")


def imports(name: str, tree: ast.AST) -> Iterator[tuple[str, ast.stmt]]:
    """Every absolute name that is imported, wherever in the module, with its statement."""
    is_package = (PACKAGE.parent / Path(*name.split("."))).is_dir()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                up = node.level - 1 if is_package else node.level
                base = ".".join([*name.split(".")[: len(name.split(".")) - up], *base.split(".")])
            yield from ((f"{base.rstrip('.')}.{alias.name}", node) for alias in node.names)


def imported(*rooms: str) -> Iterator[tuple[str, str]]:
    for name, tree in modules(*rooms):
        yield from ((name, target) for target, _ in imports(name, tree))


def at_start(tree: ast.Module) -> set[ast.stmt]:
    """The statements that run when the module is imported."""

    def walk(body: list[ast.stmt]) -> Iterator[ast.stmt]:
        for node in body:
            yield node
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) or _only_for_types(node):
                continue
            for part in ("body", "orelse", "finalbody"):
                yield from walk(getattr(node, part, []))
            for handler in getattr(node, "handlers", []):
                yield from walk(handler.body)

    return set(walk(tree.body))


def _only_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


class Architecture(SynchronousTestCase):
    def test_imports_are_found(self) -> None:
        found = set(imported())
        for expected in (
            ("upparat.machine.life", "upparat.machine.model.Core"),
            ("upparat.machine", "upparat.machine.model.Core"),
            ("upparat.job", "upparat.text.status_value"),
            ("upparat.service", "upparat.sentry"),
            ("upparat.hooks.runner", "upparat.hooks.run.HookRun"),
            ("upparat.tap", "twisted.internet.reactor"),
        ):
            self.assertIn(expected, found)

    def test_they_point_one_way(self) -> None:
        for room, allowed in ALLOWED.items():
            for name, target in imported(room):
                if within(target, "upparat"):
                    fine = any(within(target, each) for each in (room, *allowed))
                    self.assertTrue(fine, f"{name} imports {target}")

    def test_the_core_does_no_io(self) -> None:
        for name, target in imported(*PURE):
            if name != "upparat.machine.diagram":  # a tool of the development
                impure = any(within(target, each) for each in IMPURE)
                self.assertFalse(impure, f"{name} imports {target}")

    def test_only_the_command_lines_know_the_reactor(self) -> None:
        found = {name for name, target in imported() if target == "twisted.internet.reactor"}
        self.assertEqual(found, {"upparat.cli", "upparat.tap"})

    def test_the_agent_does_not_know_the_local_aws(self) -> None:
        for name, target in imported():
            if not within(name, "upparat.local"):
                self.assertFalse(within(target, "upparat.local"), f"{name} imports {target}")

    def test_the_machine_does_without_its_diagram(self) -> None:
        for name, target in imported():
            self.assertFalse(within(target, "upparat.machine.diagram"), name)

    def test_only_who_verifies_pays_for_cryptography(self) -> None:
        for name, tree in modules():
            early = at_start(tree)
            for target, statement in imports(name, tree):
                if within(target, "upparat.signatures") and name != "upparat.sign":
                    self.assertNotIn(statement, early, name)
                if within(target, "upparat.sign"):
                    self.assertEqual(name, "upparat.cli")
                    self.assertNotIn(statement, early)

    def test_an_agent_without_a_job_holds_only_what_it_needs(self) -> None:
        http = {"treq", "h2", "twisted.web.client"}
        streams = {"upparat.download.through", "upparat.hooks.streamed"}
        heavy = {*http, *streams, "difflib", "sentry_sdk", "upparat.signatures"}
        count = f"import sys, upparat.tap, upparat.service; print({heavy!r} & sys.modules.keys())"
        loaded = subprocess.run([sys.executable, "-c", count], capture_output=True, check=True)
        self.assertEqual(loaded.stdout.decode().strip(), "set()")

    def test_sentry_is_imported_late_and_in_one_module(self) -> None:
        importing = 0
        for name, tree in modules():
            early = at_start(tree)
            for target, statement in imports(name, tree):
                if within(target, "sentry_sdk"):
                    importing += 1
                    self.assertEqual(name, "upparat.sentry")
                    self.assertNotIn(statement, early, target)
        self.assertGreater(importing, 0)

    def test_the_plugin_imports_nothing_of_the_agent(self) -> None:
        for path in (PACKAGE.parent / "twisted/plugins").glob("*.py"):
            for target, _ in imports("plugin", parsed(path)):
                self.assertFalse(within(target, "upparat"), target)
