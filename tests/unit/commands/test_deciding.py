"""What the verbs share that tell a decision."""

from __future__ import annotations

import argparse

from tests.unit.commands.asking_bench import AskingBench
from upparat.commands import deciding
from upparat.control import protocol


class DecidingTests(AskingBench):
    def test_times(self) -> None:
        self.assertEqual(deciding.seconds("2h"), 7200)
        error = self.assertRaises(argparse.ArgumentTypeError, deciding.seconds, "2")
        self.assertEqual(str(error), "'2' is no duration, such as 90s, 30m, 2h or 7d")

    def test_a_wrong_time_is_explained(self) -> None:
        self.assertEqual(self.ask("pause", "soon"), 2)
        self.assertIn("'soon' is no duration, such as 90s, 30m, 2h or 7d", self.told())

    def test_the_answer_is_printable(self) -> None:
        self.answering.say(protocol.decision("a\x1b[31m\nb"))
        self.assertEqual(self.ask("resume"), 0)
        self.assertEqual(self.printed(), ["a b"])
