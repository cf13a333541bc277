"""``upparat log``."""

from __future__ import annotations

import json

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol


class LogTests(AskingBench):
    def asked(self) -> object:
        return json.loads(self.answering.asked[-1])

    def test_a_log(self) -> None:
        self.answering.say(
            protocol.log_line("one\x1b[31m"), protocol.log_line("two"), protocol.end()
        )
        self.assertEqual(self.ask("log", "job-1"), 0)
        self.assertEqual(self.printed(), ["one", "two"])
        expected = {"protocol": 1, "request": "log", "job": "job-1", "follow": False}
        self.assertEqual(self.asked(), expected)

    def test_a_log_that_is_cut_off(self) -> None:
        self.answering.say(protocol.log_line("one"))
        self.assertEqual(self.ask("log"), 69)

    def test_following(self) -> None:
        self.answering.say(protocol.log_line("one"), protocol.log_line("two"))
        self.assertEqual(self.ask("log", "--follow"), 69)
        self.assertEqual(self.printed(), ["one", "two"])
        expected = {"protocol": 1, "request": "log", "job": None, "follow": True}
        self.assertEqual(self.asked(), expected)

    def test_no_log(self) -> None:
        problem = protocol.RequestRefused(
            protocol.ErrorCode.UNKNOWN_JOB, "there is no log of job x"
        )
        self.answering.say(protocol.refusal(problem))
        self.assertEqual((self.ask("log", "x"), self.told()), (1, f"upparat: {problem}\n"))
