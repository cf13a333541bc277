"""``upparat status``."""

from __future__ import annotations

import json
import os

from tests.unit.commands.asking_bench import AskingBench
from tests.unit.control.bench import JOB
from upparat.commands import status as verb
from upparat.snapshots import DownloadSnapshot


class StatusTests(AskingBench):
    def asked(self) -> str:
        [request] = self.answering.asked
        name: str = json.loads(request)["request"]
        return name

    def test_a_table(self) -> None:
        self.answering.say(self.status())
        self.assertEqual(self.ask("status"), 0)
        self.assertEqual(self.printed()[0], "Agent      2.0.0 for device-1")
        self.assertEqual(self.asked(), "status")

    def test_json(self) -> None:
        status = self.status()
        self.answering.say(status)
        self.ask("status", "--json")
        [line] = self.printed()
        self.assertEqual(json.loads(line), status)

    def test_following(self) -> None:
        first = self.status()
        self.agent.state, self.agent.job = "download", JOB
        self.agent.download = DownloadSnapshot(500, 2000)
        second = self.status()
        self.answering.say(first, first, second)
        self.assertEqual(self.ask("status", "--follow"), 69)
        self.assertEqual(
            self.printed(),
            [
                "2027-01-15 08:00:00 UTC: monitor",
                "2027-01-15 08:00:00 UTC: download; job-1, version 2.0; 25 % of 2.0 kB",
            ],
        )
        self.assertEqual(self.told(), "upparat: PATH: the agent has closed the connection\n")
        self.assertEqual(self.asked(), "follow")

    def test_following_in_json(self) -> None:
        self.answering.say(self.status(), self.status())
        self.ask("status", "-f", "--json")
        self.assertEqual([json.loads(line)["type"] for line in self.printed()], ["status"] * 2)

    def test_an_agent_that_hangs(self) -> None:
        self.patch(verb, "TICK", 0.01)
        self.patch(verb, "SILENCE", 0.05)
        self.answering.say(self.status(), hold=True)
        self.assertEqual(self.ask("status", "--follow"), 69)
        self.assertEqual(self.told(), "upparat: the agent does not answer\n")
        self.assertEqual(len(self.printed()), 1)

    def test_a_terminal(self) -> None:
        self.patch(self.out, "isatty", lambda: True)
        self.patch(os, "environ", {**os.environ, "TERM": "xterm"})
        self.answering.say(self.status(), self.status())
        self.ask("status", "--follow")
        self.assertIn("\x1b[J", self.out.getvalue())
