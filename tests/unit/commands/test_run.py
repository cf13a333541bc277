"""``upparat run``, up to the reactor."""

from __future__ import annotations

import os

from tests.unit.commands.bench import CommandBench
from upparat.commands import run
from upparat.config.reader import load
from upparat.tap import claim_or_exit


class RunTests(CommandBench):
    def setUp(self) -> None:
        self.run_agent = run.run_agent  # before the bench puts a fake in its place
        super().setUp()

    def test_run(self) -> None:
        self.main("-t", "thing")
        [settings] = self.ran
        self.assertEqual(settings.broker.thing_name, "thing")
        self.assertEqual(settings.service.log_level, "WARNING")

    def test_run_by_name(self) -> None:
        self.main("run")
        self.assertEqual(len(self.ran), 1)

    def test_a_second_agent_is_told_who_has_the_directories(self) -> None:
        settings = load(self.config)
        claim = claim_or_exit(settings)
        self.addCleanup(claim.release)
        error = self.assertRaises(SystemExit, self.run_agent, settings)
        self.assertEqual(error.code, 75)
        self.assertIn(f"is in use by process {os.getpid()}\n", self.err.getvalue())

    def test_verbose(self) -> None:
        self.main("-v")
        self.assertEqual(self.ran[0].service.log_level, "DEBUG")
