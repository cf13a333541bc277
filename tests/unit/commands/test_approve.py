"""``upparat approve``."""

from __future__ import annotations

from tests.unit.commands.asking_bench import AskingBench
from upparat.control import protocol
from upparat.control.protocol import ErrorCode, RequestRefused


class ApproveTests(AskingBench):
    def test_what_is_asked(self) -> None:
        for words, step, job in (
            ([], None, None),
            (["install"], "install", None),
            (["job-1"], None, "job-1"),
            (["restart", "job-1"], "restart", "job-1"),
            (["download", "install"], "download", "install"),  # a job may have this id
        ):
            self.answering.say(protocol.decision("job-1: install is approved"))
            self.assertEqual(self.ask("approve", *words), 0)
            asked = self.request()
            self.assertEqual(asked["request"], "approve")
            self.assertEqual((asked["step"], asked["job"]), (step, job))
        self.assertEqual(self.printed(), ["job-1: install is approved"] * 5)

    def test_too_many_words(self) -> None:
        self.assertEqual(self.ask("approve", "job-1", "install"), 2)
        self.assertIn("too many words; STEP is one of download, install, restart", self.told())

    def test_a_user_who_may_not(self) -> None:
        self.answering.say(
            protocol.refusal(RequestRefused(ErrorCode.NOT_ALLOWED, "user 7 may not decide"))
        )
        self.assertEqual(self.ask("approve"), 77)
        self.assertEqual(self.told(), "upparat: user 7 may not decide\n")
