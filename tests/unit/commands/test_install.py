"""``upparat install``, against an agent that answers as the test says."""

from __future__ import annotations

import io
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from tests.unit.commands.asking_bench import AskingBench
from tests.unit.control.bench import JOB, PAST
from upparat.bundle.archive import write_bundle
from upparat.bundle.document import make_document
from upparat.commands import install as verb
from upparat.control import protocol
from upparat.control.protocol import ErrorCode, RequestRefused
from upparat.snapshots import DownloadSnapshot

ACCEPTED = protocol.accepted("local@1")


class InstallTests(AskingBench):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "app.bin"
        self.file.write_bytes(b"firmware")
        self.bundle = self.directory / "update.upparat"
        target = io.BytesIO()
        document = make_document(self.file, "2.0", meta="m")
        write_bundle(target, document, "app.bin", io.BytesIO(b"firmware"), 8)
        self.bundle.write_bytes(target.getvalue())

    def status_of(self, install: str | None, *ended: str) -> Any:
        self.agent.install = install
        self.agent.history = tuple(replace(PAST, id="local@1", status=each) for each in ended)
        return self.status()

    def hand_over(self, *words: object) -> int:
        self.answering.say(ACCEPTED)
        return self.ask("install", *map(str, words), "--no-wait")

    def wait(self, *statuses: Any) -> int:
        self.answering.say(*statuses)
        return self.ask("install", "--wait")

    def test_a_bundle(self) -> None:
        self.assertEqual(self.hand_over(self.bundle), 0)
        self.assertEqual(self.printed(), ["local@1: version 2.0"])
        request = self.request()
        self.assertEqual(request["path"], str(self.bundle.absolute()))
        content = self.bundle.read_bytes()
        self.assertEqual(content[request["offset"] :][:8], b"firmware")
        self.assertEqual(request["document"]["meta"], "m")

    def test_a_file(self) -> None:
        words = ["--version", "3.0", "--signature", "AA==", "--force-update"]
        self.assertEqual(self.hand_over(self.file, *words), 0)
        request = self.request()
        self.assertEqual((request["path"], request["offset"]), (str(self.file.absolute()), 0))
        document = request["document"]
        self.assertEqual((document["version"], document["size"]), ("3.0", 8))
        self.assertEqual((document["signature"], document["force"]), ("AA==", True))

    def test_arguments_that_make_no_sense(self) -> None:
        for words, told in (
            ([], "name a FILE, or --wait for the last install"),
            ([self.file, "--wait"], "name a FILE, or --wait for the last install"),
            ([self.file], f"{self.file} is no bundle: it is cut short"),
            ([self.bundle, "--meta", "x"], "--meta: needs --version; a bundle has its own"),
            ([Path("/nowhere")], "/nowhere: No such file or directory"),
            ([self.file, "--version", " 2"], "version: begins or ends with white space"),
        ):
            self.assertEqual(self.ask("install", *map(str, words)), 2)
            self.assertIn(told, self.told().splitlines()[-1])

    def test_a_refusal(self) -> None:
        for code, status in ((ErrorCode.NOT_ALLOWED, 77), (ErrorCode.BUSY, 75)):
            self.answering.say(protocol.refusal(RequestRefused(code, "no")))
            self.assertEqual(self.ask("install", str(self.bundle)), status)

    def test_waiting_for_the_end(self) -> None:
        first = self.status_of("local@1")
        self.agent.job, self.agent.download = JOB, DownloadSnapshot(500, 2000)
        second = self.status_of("local@1")
        self.agent.job = self.agent.download = None
        self.assertEqual(self.wait(first, second, self.status_of(None, "SUCCEEDED")), 0)
        self.assertEqual(
            self.printed(),
            [
                "monitor",
                "monitor; job-1, version 2.0; 25 % of 2.0 kB",
                "2027-01-14 08:00:00 UTC  local@1 1.9 SUCCEEDED version_mismatch: why",
            ],
        )

    def test_another_end(self) -> None:
        self.assertEqual(self.wait(self.status_of(None, "FAILED")), 3)

    def test_the_last_one_has_ended_and_another_one_is_in_hand(self) -> None:
        ended = self.status_of(None, "SUCCEEDED")
        self.assertEqual(self.wait(self.status_of("local@2", "SUCCEEDED"), ended), 1)
        self.assertIn("the agent knows nothing of local@2 any more", self.told())

    def test_nothing_to_wait_for(self) -> None:
        self.assertEqual(self.wait(self.status_of(None)), 1)
        self.assertIn("nothing was installed by hand of late", self.told())

    def test_no_agent(self) -> None:
        self.assertEqual(self.ask("install", "--wait"), 69)

    def test_an_agent_that_restarts(self) -> None:
        """Its own update restarts it: it comes back, and knows how that has ended."""
        self.patch(time, "sleep", self.come_back)
        self.assertEqual(self.wait(self.status_of("local@1")), 0)
        self.assertIn("SUCCEEDED", self.printed()[-1])

    def come_back(self, seconds: float) -> None:
        self.answering.say(self.status_of(None, "SUCCEEDED"))

    def test_an_agent_that_does_not_come_back(self) -> None:
        self.patch(verb, "RESTART", 0.0)
        self.patch(time, "sleep", lambda seconds: None)
        self.assertEqual(self.wait(self.status_of("local@1")), 75)
        self.assertIn("'upparat install --wait' says how it has ended", self.told())
