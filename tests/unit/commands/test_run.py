"""``upparat run``, up to the reactor."""

from __future__ import annotations

from tests.unit.commands.bench import CommandBench


class RunTests(CommandBench):
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
