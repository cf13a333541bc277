"""The command line of ``upparat``, up to the reactor."""

from __future__ import annotations

import sys
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat import __version__
from upparat.commands import main as cli
from upparat.commands import run
from upparat.config.settings import Settings


class CliTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)
        self.ran: list[Settings] = []
        self.patch(run, "run", self.ran.append)
        self.config = self.directory / "upparat.conf"
        self.config.write_text(f"[service]\ndownload_location = {self.directory}\n")

    def main(self, *words: str) -> Any:
        return cli.main(["-c", str(self.config), *words])

    def test_run(self) -> None:
        self.main("-t", "thing")
        [settings] = self.ran
        self.assertEqual(settings.broker.thing_name, "thing")
        self.assertEqual(settings.service.log_level, "WARNING")

    def test_run_by_name(self) -> None:
        self.main("run")
        self.assertEqual(len(self.ran), 1)

    def test_verbose(self) -> None:
        self.main("-v")
        self.assertEqual(self.ran[0].service.log_level, "DEBUG")

    def test_check(self) -> None:
        self.main("check")
        self.assertEqual(self.ran, [])
        self.assertEqual(self.out.getvalue(), f"{self.config}: no problem found\n")

    def test_check_of_the_defaults(self) -> None:
        cli.main(["check"])
        self.assertEqual(self.out.getvalue(), "the defaults: no problem found\n")

    def test_a_wrong_file(self) -> None:
        self.config.write_text("[service]\nlog_level = LOUD\n")
        for words in ((), ("check",)):
            error = self.assertRaises(SystemExit, self.main, *words)
            self.assertEqual(error.code, 2)
        self.assertEqual(self.ran, [])
        self.assertIn("[service] log_level", self.err.getvalue())

    def test_an_unknown_command(self) -> None:
        error = self.assertRaises(SystemExit, self.main, "flash")
        self.assertEqual(error.code, 2)

    def test_version(self) -> None:
        error = self.assertRaises(SystemExit, self.main, "--version")
        self.assertEqual(error.code, 0)
        self.assertEqual(self.out.getvalue(), f"upparat {__version__}\n")
