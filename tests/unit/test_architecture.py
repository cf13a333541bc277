"""Which module may import which: the house keeps its rooms."""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator

from twisted.trial.unittest import SynchronousTestCase

from tests.house import (
    PACKAGE,
    PICTURE,
    circles,
    dot,
    floors,
    imported,
    imports,
    module_graph,
    modules,
    parsed,
    wing_graph,
    within,
)

PURE = (
    "upparat.version",
    "upparat.job",
    "upparat.minisign",
    "upparat.text",
    "upparat.ports",
    "upparat.net.proxy",
    "upparat.machine",
)
IMPURE = ("twisted.internet", "paho", "treq", "socket", "subprocess", "os", "pathlib", "sentry_sdk")

ALLOWED = {
    # the ground floor
    "text": (),
    "version": (),
    "minisign": (),
    "backoff": (),
    "disk": (),
    "linux": (),
    "oneshot": (),
    "private": ("disk",),
    "systemd": ("disk", "oneshot"),
    "job": ("minisign", "text"),
    "ports": ("job",),
    "runtime": (),
    "snapshots": ("job",),
    "streaming": ("job",),
    "timer": ("oneshot", "ports"),
    "log": ("text",),
    "sentry": ("log", "text"),
    # the core
    "machine": ("job", "ports", "snapshots", "text", "version"),
    # the wings
    "net": (),
    "bundle": ("job", "minisign"),
    "signing": ("minisign",),
    "policy": ("job", "oneshot", "ports", "private", "snapshots"),
    "config": ("job", "net", "policy", "runtime", "signing", "text"),
    "storage": ("disk", "job", "linux", "ports", "private"),
    "mqtt": ("backoff", "config", "net", "oneshot", "snapshots"),
    "iotjobs": ("backoff", "job", "mqtt", "oneshot", "ports", "text"),
    "hooks": (
        "config",
        "job",
        "linux",
        "oneshot",
        "ports",
        "private",
        "snapshots",
        "streaming",
        "text",
    ),
    "download": (
        "backoff",
        "config",
        "disk",
        "job",
        "linux",
        "minisign",
        "net",
        "oneshot",
        "ports",
        "signing",
        "snapshots",
        "storage",
        "streaming",
        "text",
    ),
    "byhand": ("download", "job", "ports", "private", "snapshots"),
    "delta": ("config", "disk", "download", "job", "private"),
    "relay": (
        "config",
        "disk",
        "download",
        "job",
        "ports",
        "snapshots",
        "storage",
        "streaming",
        "text",
    ),
    "joblog": ("backoff", "config", "disk", "download", "job", "log", "private", "text"),
    "inventory": ("config", "hooks", "iotjobs", "job", "mqtt", "oneshot", "text"),
    "control": ("config", "job", "log", "oneshot", "private", "snapshots", "text"),
    "metrics": ("control", "hooks", "job", "machine", "mqtt", "snapshots"),
    "web": ("config", "control", "metrics", "oneshot"),
    "doctor": (
        "config",
        "iotjobs",
        "job",
        "mqtt",
        "net",
        "policy",
        "private",
        "signing",
        "storage",
    ),
    "publish": ("control", "delta", "iotjobs", "job", "signing", "text"),
    # the roof
    "service": (
        "byhand",
        "config",
        "control",
        "delta",
        "download",
        "hooks",
        "inventory",
        "iotjobs",
        "job",
        "joblog",
        "linux",
        "machine",
        "metrics",
        "mqtt",
        "policy",
        "relay",
        "sentry",
        "snapshots",
        "storage",
        "streaming",
        "systemd",
        "timer",
        "web",
    ),
    "reactor": ("net",),
    "tap": ("config", "log", "private", "reactor", "service", "storage"),
    "commands": (
        "bundle",
        "byhand",
        "config",
        "control",
        "delta",
        "doctor",
        "job",
        "log",
        "policy",
        "private",
        "publish",
        "runtime",
        "service",
        "signing",
        "storage",
        "tap",
        "text",
    ),
    # beside the agent
    "local": ("job", "publish", "runtime"),
}
"""Each wing, and the wings that it may import."""


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


SIGNERS = {
    "upparat.commands.sign",
    "upparat.signing.command",
    "upparat.signing.keys",
    "upparat.signing.signatures",
}
"""The modules that need cryptography whenever they are imported."""


class Architecture(SynchronousTestCase):
    def test_imports_are_found(self) -> None:
        found = set(imported())
        for expected in (
            ("upparat.machine.states", "upparat.machine.model.Core"),
            ("upparat.machine", "upparat.machine.model.Core"),
            ("upparat.job", "upparat.text.status_value"),
            ("upparat.service", "upparat.sentry"),
            ("upparat.hooks.runner", "upparat.hooks.run.HookRun"),
            ("upparat.tap", "twisted.internet.reactor"),
        ):
            self.assertIn(expected, found)

    def test_each_wing_imports_what_its_row_allows(self) -> None:
        wings = wing_graph(module_graph())
        self.assertEqual(set(wings), set(ALLOWED))
        for wing, targets in wings.items():
            self.assertEqual(targets - set(ALLOWED[wing]), set(), wing)

    def test_no_row_allows_a_circle(self) -> None:
        rows = {wing: frozenset(allowed) for wing, allowed in ALLOWED.items()}
        self.assertEqual(circles(rows), [])

    def test_no_module_is_in_a_circle(self) -> None:
        self.assertEqual(circles(module_graph()), [])

    def test_circles_and_floors_are_found(self) -> None:
        nothing: frozenset[str] = frozenset()
        tied = {"a": frozenset("b"), "b": frozenset("c"), "c": frozenset("b"), "d": frozenset("a")}
        self.assertEqual(circles(tied), [["b", "c"]])
        self.assertRaises(ValueError, floors, tied)
        self.assertEqual(floors({"a": frozenset("b"), "b": nothing}), {"a": 2, "b": 1})

    def test_jobs_know_only_the_contract_with_mqtt(self) -> None:
        for name, target in imported("upparat.iotjobs"):
            if within(target, "upparat.mqtt"):
                self.assertTrue(within(target, "upparat.mqtt.session"), f"{name} imports {target}")

    def test_every_wing_is_installed(self) -> None:
        settings = configparser.ConfigParser()
        settings.read(PACKAGE.parent / "setup.cfg")
        packages = settings["options"]["packages"].split()
        wings = {
            ".".join(path.parent.relative_to(PACKAGE.parent).parts)
            for path in PACKAGE.rglob("*/__init__.py")
        }
        self.assertEqual({name for name in packages if name.startswith("upparat.")}, wings)

    def test_no_two_public_classes_have_one_name(self) -> None:
        """A reader who looks for a name finds one thing."""
        places: dict[str, list[str]] = {}
        for name, tree in modules():
            for node in tree.body:
                if isinstance(node, ast.ClassDef):
                    places.setdefault(node.name, []).append(name)
        self.assertEqual({name: found for name, found in places.items() if len(found) > 1}, {})

    def test_the_picture_shows_the_house(self) -> None:
        self.assertEqual(PICTURE.read_text(encoding="utf-8"), dot(module_graph()))

    def test_the_core_does_no_io(self) -> None:
        for name, target in imported(*PURE):
            if name != "upparat.machine.diagram":  # a tool of the development
                impure = any(within(target, each) for each in IMPURE)
                self.assertFalse(impure, f"{name} imports {target}")

    def test_only_the_command_lines_know_the_reactor(self) -> None:
        found = {name for name, target in imported() if target == "twisted.internet.reactor"}
        self.assertEqual(found, {"upparat.commands.run", "upparat.tap"})

    def test_the_agent_does_not_know_the_local_aws(self) -> None:
        for name, target in imported():
            if not within(name, "upparat.local"):
                self.assertFalse(within(target, "upparat.local"), f"{name} imports {target}")

    def test_the_agent_does_not_publish(self) -> None:
        for name, target in imported():
            outside = not within(name, "upparat.publish") and not within(name, "upparat.local")
            if outside and within(target, "upparat.publish"):
                self.assertEqual(name, "upparat.commands.publish")
            if within(target, "boto3") or within(target, "botocore"):
                self.assertIn(name, ("upparat.publish.boto", "upparat.local.aws"))

    def test_the_machine_does_without_its_diagram(self) -> None:
        for name, target in imported():
            self.assertFalse(within(target, "upparat.machine.diagram"), name)

    def test_only_who_verifies_pays_for_cryptography(self) -> None:
        for name, tree in modules():
            early = at_start(tree)
            for target, statement in imports(name, tree):
                if within(target, "upparat.signing") and name not in SIGNERS:
                    self.assertNotIn(statement, early, name)
                if within(target, "upparat.commands.sign"):
                    self.assertEqual(name, "upparat.commands.main")
                    self.assertNotIn(statement, early)

    def test_an_agent_without_a_job_holds_only_what_it_needs(self) -> None:
        http = {"treq", "h2", "twisted.web.client"}
        streams = {"upparat.download.streamed", "upparat.hooks.streamed"}
        urls = {"upparat.relay", "upparat.hooks.lent"}
        inventory = {"upparat.inventory", "upparat.mqtt.fanout"}
        control = {"upparat.control.service", "upparat.control.server"}
        page = {"upparat.web", "upparat.metrics", "twisted.web.http", "prometheus_client"}
        rare = {"upparat.delta", "upparat.doctor", "upparat.signing", "upparat.download.kept"}
        windows = {"upparat.policy.windows", "zoneinfo"}
        wings = {*streams, *urls, *inventory, *control, *windows, *page, *rare}
        heavy = {*http, *wings, "difflib", "sentry_sdk", "zstandard"}
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
