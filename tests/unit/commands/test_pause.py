"""``upparat pause``."""

from __future__ import annotations

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol


class PauseTests(AskingBench):
    def test_for_a_time_or_without_one(self) -> None:
        for words, seconds in (([], None), (["30m"], 1800.0)):
            self.answering.say(protocol.decision("the agent is paused"))
            self.assertEqual(self.ask("pause", *words), 0)
            self.assertEqual(self.request()["seconds"], seconds)
        self.assertEqual(self.printed(), ["the agent is paused"] * 2)
