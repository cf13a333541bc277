"""``upparat check-now``."""

from __future__ import annotations

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol


class CheckNowTests(AskingBench):
    def test_asked(self) -> None:
        self.answering.say(protocol.checking())
        self.assertEqual(self.ask("check-now"), 0)
        self.assertEqual(self.printed(), ["The agent asks AWS for jobs."])

    def test_no_connection(self) -> None:
        problem = protocol.RequestRefused(protocol.ErrorCode.NOT_CONNECTED, "not connected")
        self.answering.say(protocol.refusal(problem))
        self.assertEqual((self.ask("check-now"), self.told()), (1, "upparat: not connected\n"))
