"""The arguments of the verbs that read the configuration file."""

from __future__ import annotations

import argparse
import sys
from io import StringIO
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat import __version__
from upparat.commands.configured import add_arguments, settings_of


class ConfiguredTests(SynchronousTestCase):
    def parse(self, *words: str) -> argparse.Namespace:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        return parser.parse_args(words)

    def test_the_file_and_the_thing(self) -> None:
        file = Path(self.mktemp())
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("[broker]\nthing_name = from-the-file\n")
        self.assertEqual(
            settings_of(self.parse("-c", str(file))).broker.thing_name, "from-the-file"
        )
        arguments = self.parse("--config", str(file), "--thing-name", "other")
        self.assertEqual(settings_of(arguments).broker.thing_name, "other")

    def test_a_wrong_file(self) -> None:
        self.patch(sys, "stderr", StringIO())
        error = self.assertRaises(SystemExit, settings_of, self.parse("-c", "/no/such/file"))
        self.assertEqual(error.code, 2)

    def test_version(self) -> None:
        out = StringIO()
        self.patch(sys, "stdout", out)
        error = self.assertRaises(SystemExit, self.parse, "--version")
        self.assertEqual(error.code, 0)
        self.assertIn(__version__, out.getvalue())
