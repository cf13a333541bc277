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

    def test_it_imports_no_reactor(self) -> None:
        for words in (("check", "-c", self.config), ("-c", self.config, "check")):
            modules = loaded(*words)
            self.assertIn("upparat.commands.check", modules)
            self.assertNotIn("twisted.internet.reactor", modules)
