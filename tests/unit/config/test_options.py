"""The kinds of options: their values, and the problems of each."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.config.bench import ConfigBench
from upparat.config import options
from upparat.config.options import Option, options_of


class KindsTests(ConfigBench):
    def test_whole_numbers(self) -> None:
        for section, name, least in (
            ("hooks", "max_retries", 1),
            ("hooks", "restart_attempts", 1),
            ("download", "max_attempts", 1),
        ):
            self.assertEqual(getattr(self.option(section, f"{name} = {least}"), name), least)
            self.assertEqual(
                self.problem(section, f"{name} = {least - 1}"),
                f"[{section}] {name}: must be {least} or more, not {least - 1}",
            )
            for odd in ("x", "1.0", "1e3", "nan", "9" * 5000):
                self.assertEqual(
                    self.problem(section, f"{name} = {odd}"),
                    f"[{section}] {name}: {odd!r} is not a whole number",
                )

    def test_whole_numbers_with_two_ends(self) -> None:
        for name, least, most in (("port", 1, 65535), ("keepalive", 5, 65535)):
            for value in (least, most):
                self.assertEqual(getattr(self.option("broker", f"{name} = {value}"), name), value)
            for value in (least - 1, most + 1):
                self.assertEqual(
                    self.problem("broker", f"{name} = {value}"),
                    f"[broker] {name}: must be {least} to {most}, not {value}",
                )

    def test_seconds(self) -> None:
        for section, name, least in (
            ("service", "progress_interval", 0.0),
            ("service", "poll_interval", 1.0),
            ("broker", "connect_timeout", 1.0),
            ("hooks", "retry_interval", 0.0),
            ("hooks", "restart_grace", 0.0),
            ("hooks", "restart_timeout", 0.0),
            ("download", "connect_timeout", 0.1),
            ("download", "idle_timeout", 0.1),
        ):
            for value in (least, 1e6):
                found = getattr(self.option(section, f"{name} = {value}"), name)
                self.assertEqual(found, value)
            for text in (str(least - 0.01), "inf", "nan", "-1e9"):
                self.assertEqual(
                    self.problem(section, f"{name} = {text}"),
                    f"[{section}] {name}: must be {least:g} seconds or more, not {float(text):g}",
                )
            self.assertEqual(
                self.problem(section, f"{name} = 5s"),
                f"[{section}] {name}: '5s' is not a number of seconds",
            )

    def test_flags(self) -> None:
        for section, name in (("hooks", "kill_on_cancel"), ("download", "allow_http")):
            for text in ("yes", "True", "on", "1"):
                self.assertIs(getattr(self.option(section, f"{name} = {text}"), name), True)
            for text in ("no", "FALSE", "off", "0"):
                self.assertIs(getattr(self.option(section, f"{name} = {text}"), name), False)
            self.assertEqual(
                self.problem(section, f"{name} = maybe"),
                f"[{section}] {name}: 'maybe' is neither yes nor no",
            )

    def test_log_level(self) -> None:
        for level in ("DEBUG", "info", "Warning", "ERROR", "exception"):
            found = self.option("service", f"log_level = {level}").log_level
            self.assertEqual(found, level.upper())
        self.assertEqual(
            self.problem("service", "log_level = loud"),
            "[service] log_level: 'LOUD' is none of DEBUG, INFO, WARNING, ERROR, EXCEPTION",
        )

    def test_job_id_prefix(self) -> None:
        self.assertEqual(self.option("service", "job_id_prefix = A-z_9").job_id_prefix, "A-z_9")
        for prefix in ("a:b", "é", "x" * 65):
            self.assertIn(
                "[service] job_id_prefix: ", self.problem("service", f"job_id_prefix = {prefix}")
            )

    def test_wrong_words(self) -> None:
        for option, words in (
            ("require", "none, digest, signature"),
            ("allow_downgrade", "yes, forced, no"),
        ):
            problem = self.problem("verify", f"{option} = what")
            self.assertEqual(problem, f"[verify] {option}: 'what' is none of {words}")


class Documented(NamedTuple):
    shown: str
    unit: str
    meaning: str


class DocumentationTests(SynchronousTestCase):
    def test_an_option_documents_itself(self) -> None:
        @dataclasses.dataclass(frozen=True)
        class Section:
            name: str = options.text("x", "A name.")
            number: int = options.whole(3, "A number.", least=1, most=9, unit="runs")
            wait: float = options.seconds(1.5, "A wait.", least=0.5)
            switch: bool = options.flag(True, "A switch.")
            file: str = options.path("A file.")
            key: str = options.alias("A key.", "old_key", "The old name.")
            pair: Sequence[str] = options.several(
                tuple, {"left": Option("L."), "right": Option("R.")}
            )

        found = options_of(Section)
        self.assertEqual(
            {name: Documented(each.shown, each.unit, each.meaning) for name, each in found.items()},
            {
                "name": Documented("`x`", "", "A name."),
                "number": Documented("`3`", "runs", "A number. 1 to 9."),
                "wait": Documented("`1.5`", "seconds", "A wait. 0.5 or more."),
                "switch": Documented("`yes`", "", "A switch."),
                "file": Documented("", "", "A file."),
                "key": Documented("", "", "A key."),
                "old_key": Documented("", "", "The old name."),
                "left": Documented("", "", "L."),
                "right": Documented("", "", "R."),
            },
        )
        section = Section(key="secret")
        self.assertEqual((section.name, section.number, section.pair), ("x", 3, ()))
        self.assertNotIn("secret", repr(section))
