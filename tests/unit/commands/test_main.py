"""The command line of ``upparat``: which verb runs, with which arguments."""

from __future__ import annotations

from pathlib import Path

from tests.unit.commands.bench import CommandBench
from upparat import __version__, commands
from upparat.commands import main as cli
from upparat.commands import run


class MainTests(CommandBench):
    def test_a_verb_may_stand_before_and_after_its_arguments(self) -> None:
        for words in (["check", "-c", str(self.config)], ["-c", str(self.config), "check"]):
            self.out.truncate(0)
            self.out.seek(0)
            cli.main(words)
            self.assertEqual(self.out.getvalue(), f"{self.config}: no problem found\n")

    def test_a_thing_may_have_the_name_of_a_verb(self) -> None:
        self.main("-t", "check")
        self.assertEqual(self.ran[0].broker.thing_name, "check")

    def test_a_verb_without_the_configuration_comes_first(self) -> None:
        error = self.assertRaises(SystemExit, self.main, "sign")
        self.assertEqual(error.code, 2)

    def test_each_verb_has_a_module_and_a_line_of_help(self) -> None:
        for verb in cli.VERBS:
            error = self.assertRaises(SystemExit, cli.main, [verb, "--help"])
            self.assertEqual(error.code, 0)
            self.assertIn(f"usage: upparat {verb} ", self.out.getvalue())
        self.assertRaises(SystemExit, cli.main, ["--help"])
        for row in cli.VERBS.values():
            self.assertIn(row.help, self.out.getvalue())

    def test_every_module_with_a_verb_has_a_row(self) -> None:
        folder = Path(commands.__path__[0])
        found = {path.stem for path in folder.glob("*.py") if "def run(" in path.read_text()}
        self.assertEqual(found, {verb.replace("-", "_") for verb in cli.VERBS})

    def test_a_wrong_file(self) -> None:
        self.config.write_text("[service]\nlog_level = LOUD\n[broker]\nport = x\n")
        for words in ((), ("check",)):
            error = self.assertRaises(SystemExit, self.main, *words)
            self.assertEqual(error.code, 2)
        self.assertEqual(self.ran, [])
        self.assertEqual(self.err.getvalue().count("[service] log_level"), 2)

    def test_a_file_that_the_agent_can_run_with(self) -> None:
        """It may be the only way to repair the device."""
        self.config.write_text("[service]\nlog_level = LOUD\n")
        self.main()
        [settings] = self.ran
        self.assertEqual(len(settings.problems), 1)
        self.assertRaises(SystemExit, self.main, "check")

    def test_who_is_at_a_terminal_hears_of_each_problem(self) -> None:
        self.config.write_text("[service]\nlog_level = LOUD\n")
        self.patch(run, "started_by_hand", lambda: True)
        self.assertRaises(SystemExit, self.main)
        self.assertEqual(self.ran, [])

    def test_an_unknown_command(self) -> None:
        error = self.assertRaises(SystemExit, self.main, "flash")
        self.assertEqual(error.code, 2)

    def test_version(self) -> None:
        error = self.assertRaises(SystemExit, self.main, "--version")
        self.assertEqual(error.code, 0)
        self.assertEqual(self.out.getvalue(), f"upparat {__version__}\n")
