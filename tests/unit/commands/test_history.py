"""``upparat history``."""

from __future__ import annotations

import json
from pathlib import Path

from tests.support.ports import key
from tests.unit.commands.asking_bench import AskingBench
from tests.unit.control.bench import NOON, PAST
from upparat.control.history import NAME, History
from upparat.snapshots import EndedJob

ENDED = EndedJob(key("a"), "2.0", "SUCCEEDED", "complete_ready", "none", "1.9")
LINE = "2027-01-15 08:00:00 UTC  a 2.0 SUCCEEDED complete_ready from 1.9"


class HistoryTests(AskingBench):
    def setUp(self) -> None:
        super().setUp()
        self.agent.history = (PAST,)
        self.state = Path(self.directory.absolute(), "state")

    def stored(self) -> History:
        history = History(self.state, lambda: NOON)
        history.add(ENDED)
        return history

    def test_as_the_agent_knows_it(self) -> None:
        self.answering.say(self.agent.builder().history())
        self.assertEqual(self.ask("history"), 0)
        self.assertEqual(self.request()["request"], "history")
        self.assertEqual(
            self.printed(), ["2027-01-14 08:00:00 UTC  job-0 1.9 FAILED version_mismatch: why"]
        )

    def test_json(self) -> None:
        self.answering.say(self.agent.builder().history())
        self.ask("history", "--json")
        [line] = self.printed()
        self.assertEqual(json.loads(line)["id"], "job-0")

    def test_without_an_agent(self) -> None:
        self.stored()
        self.assertEqual(self.ask("history", "-c", str(self.config)), 0)
        self.assertEqual(self.printed(), [LINE])

    def test_without_an_agent_and_a_configuration(self) -> None:
        self.assertEqual(self.ask("history"), 69)
        self.assertIn("no agent at PATH", self.told())

    def test_a_file_that_makes_no_sense(self) -> None:
        self.stored()
        (self.state / NAME).write_text("{")
        self.assertEqual(self.ask("history", "-c", str(self.config)), 1)
        self.assertIn("history.json cannot be read", self.told())
