"""``upparat doctor``: what it prints, and its exit status."""

from __future__ import annotations

import json

from tests.support.python import run_python
from tests.unit.commands.bench import CommandBench
from upparat import __version__
from upparat.commands import doctor
from upparat.commands import main as cli
from upparat.doctor.finding import failed, ok


class DoctorTests(CommandBench):
    def examined(self, *words: str) -> str:
        """What is printed for a file that is not there."""
        missing = str(self.directory / "none")
        error = self.assertRaises(SystemExit, cli.main, ["doctor", "-c", missing, *words])
        self.assertEqual(error.code, 2)
        return self.out.getvalue()

    def test_lines(self) -> None:
        lines = self.examined().splitlines()
        self.assertTrue(lines[0].startswith("failed  configuration: "))
        self.assertTrue(all(line.startswith("skipped ") for line in lines[1:-1]), lines)
        self.assertEqual(lines[-1], f"0 ok, {len(lines) - 2} skipped, 0 warning, 1 failed")

    def test_json(self) -> None:
        report = json.loads(self.examined("--json"))
        self.assertEqual((report["version"], report["status"]), (__version__, 2))
        self.assertEqual(set(report["findings"][0]), {"name", "level", "meaning", "remedy"})

    def test_a_report(self) -> None:
        text = doctor.report([ok("clock", "it is noon"), failed("dns", "none", "Check it")], 2)
        first, second = json.loads(text)["findings"]
        expected = {"name": "clock", "level": "ok", "meaning": "it is noon", "remedy": ""}
        self.assertEqual(first, expected)
        self.assertEqual(second["remedy"], "Check it")

    def test_no_agent_and_no_reactor_is_imported(self) -> None:
        ran = run_python("import sys, upparat.commands.doctor; print(*sys.modules)")
        modules = set(ran.stdout.split())
        self.assertIn("upparat.doctor.steps", modules)
        self.assertFalse({"twisted.internet.reactor", "upparat.tap"} & modules)
