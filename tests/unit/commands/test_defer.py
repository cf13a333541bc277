"""``upparat defer``."""

from __future__ import annotations

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol


class DeferTests(AskingBench):
    def test_a_job_and_a_time(self) -> None:
        self.answering.say(protocol.decision("job-1: the job is deferred for 7200 s"))
        self.assertEqual(self.ask("defer", "job-1", "2h"), 0)
        asked = self.request()
        self.assertEqual((asked["job"], asked["seconds"]), ("job-1", 7200.0))
        self.assertEqual(self.printed(), ["job-1: the job is deferred for 7200 s"])

    def test_both_are_needed(self) -> None:
        for words in ([], ["job-1"], ["2h"]):
            self.assertEqual(self.ask("defer", *words), 2)
