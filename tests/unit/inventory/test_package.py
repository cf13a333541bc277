"""The package: what AWS's catalog admits, and the update of the shadow."""

from __future__ import annotations

import json
from collections.abc import Mapping

from botocore.loaders import Loader
from twisted.trial.unittest import SynchronousTestCase

from upparat.inventory.package import (
    MAX_ATTRIBUTES,
    Package,
    attributes_of,
    shadow_update,
    version_of,
)


def package(attributes: Mapping[str, str], version: str = "1.0") -> Package:
    return Package("app", version, attributes)


class VersionTests(SynchronousTestCase):
    def test_the_last_line_that_is_not_empty(self) -> None:
        self.assertEqual(version_of(["booting", " 2.0-rc_1 ", "  "]), "2.0-rc_1")

    def test_nothing_printed(self) -> None:
        for lines in ([], ["", " "]):
            self.assertRaisesRegex(ValueError, "has printed nothing", version_of, lines)

    def test_no_version_of_the_catalog(self) -> None:
        for version in ("1:2.0", "2.0+deb", "two words", "ä", "1" * 65):
            self.assertRaisesRegex(ValueError, "admits no version", version_of, [version])
        self.assertEqual(version_of(["1" * 64]), "1" * 64)


class AttributesTests(SynchronousTestCase):
    def problem(self, *lines: str) -> str:
        found, (problem,) = attributes_of(lines)
        self.assertEqual(len(found), len(lines) - 1)
        return problem

    def test_lines(self) -> None:
        lines = ["slot=b", "", "kernel = 6.1 = good", "a:b_c-1=ä"]
        found = {"slot": "b", "kernel": "6.1 = good", "a:b_c-1": "ä"}
        self.assertEqual(attributes_of(lines), (found, []))

    def test_wrong_lines_are_left_out(self) -> None:
        for line, problem in (
            ("nothing", "is not key=value"),
            ("=x", "has a key of other characters than letters, digits and :_-"),
            ("a.b=x", "has a key of other characters than letters, digits and :_-"),
            ("k" * 129 + "=x", "has a key of other characters than letters, digits and :_-"),
            ("a=", "has a value of a that is empty or cannot be printed"),
            ("a=secret\x07", "has a value of a that is empty or cannot be printed"),
            ("agent=0", "sets agent again"),
            ("good=2", "sets good again"),
        ):
            self.assertEqual(self.problem("good=1", line), f"line 2 {problem}")

    def test_all_attributes_have_three_kilobytes(self) -> None:
        room = MAX_ATTRIBUTES - len(json.dumps({"a": ""}))
        self.assertEqual(attributes_of(["a=" + "x" * room])[1], [])
        found, (problem,) = attributes_of(["a=" + "x" * (room + 1), "b=1"])
        self.assertEqual(problem, f"line 1 makes the attributes longer than {MAX_ATTRIBUTES} bytes")
        self.assertEqual(found, {"b": "1"})

    def test_the_rules_are_those_of_the_service_model(self) -> None:
        shapes = Loader().load_service_model("iot", "service-2")["shapes"]
        self.assertEqual(shapes["ResourceAttributeKey"]["pattern"], "[a-zA-Z0-9:_-]+")
        self.assertEqual(shapes["ResourceAttributeValue"]["pattern"], r"[^\p{C}]+")
        self.assertEqual(shapes["VersionName"]["pattern"], "[a-zA-Z0-9-_.]+")
        self.assertEqual(shapes["VersionName"]["max"], 64)
        self.assertEqual(shapes["PackageName"]["pattern"], "[a-zA-Z0-9-_.]+")
        self.assertEqual(shapes["PackageName"]["max"], 128)


class UpdateTests(SynchronousTestCase):
    def reported(self, now: Package, before: Package | None) -> object:
        return shadow_update(now, before)

    def test_first(self) -> None:
        self.assertEqual(
            self.reported(package({"agent": "2"}), None),
            {"state": {"reported": {"app": {"version": "1.0", "attributes": {"agent": "2"}}}}},
        )

    def test_an_attribute_that_has_gone_is_taken_out(self) -> None:
        before = package({"agent": "2", "slot": "a"})
        attributes = {"slot": None, "agent": "2"}
        self.assertEqual(
            self.reported(package({"agent": "2"}, "1.1"), before),
            {"state": {"reported": {"app": {"version": "1.1", "attributes": attributes}}}},
        )
