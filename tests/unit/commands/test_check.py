"""``upparat check``: what it prints, and that it starts nothing."""

from __future__ import annotations

from tests.unit.commands.bench import CommandBench, loaded
from upparat.commands import main as cli


class CheckTests(CommandBench):
    def test_check(self) -> None:
        self.main("check")
        self.assertEqual(self.ran, [])
        self.assertEqual(self.out.getvalue(), f"{self.config}: no problem found\n")

    def test_check_of_the_defaults(self) -> None:
        cli.main(["check"])
        self.assertEqual(self.out.getvalue(), "the defaults: no problem found\n")

    def test_directories_that_others_can_write_to(self) -> None:
        state = self.directory.absolute() / "state"
        state.mkdir()
        state.chmod(0o777)
        self.config.write_text(
            f"[service]\ndownload_location = {self.directory}\nstate_dir = {state}\n"
        )
        error = self.assertRaises(SystemExit, self.main, "check")
        self.assertEqual(error.code, 2)
        self.assertIn(f"mend it with: chmod go-w {state}\n", self.err.getvalue())

    def test_it_imports_no_reactor(self) -> None:
        for words in (("check", "-c", self.config), ("-c", self.config, "check")):
            modules = loaded(*words)
            self.assertIn("upparat.commands.check", modules)
            self.assertNotIn("twisted.internet.reactor", modules)
