"""``upparat resume``."""

from __future__ import annotations

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol


class ResumeTests(AskingBench):
    def test_asked(self) -> None:
        self.answering.say(protocol.decision("the agent is not paused"))
        self.assertEqual(self.ask("resume"), 0)
        self.assertEqual(self.request()["request"], "resume")
        self.assertEqual(self.printed(), ["the agent is not paused"])
