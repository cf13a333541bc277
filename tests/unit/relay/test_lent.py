"""The file of a run: its facts, fresh URLs, attempts, and the end of all patience."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.defer import CancelledError

from tests.unit.download.bench import CONTENT, Answer
from tests.unit.relay.bench import EXPIRED, TOTAL, RelayBench, first
from upparat.download.transfer import MAX_REFUSALS, DownloadFailed
from upparat.job import State
from upparat.relay.lent import FileFacts


class FactsTests(RelayBench):
    def facts(self, *answers: Answer | Exception) -> FileFacts:
        self.answers = list(answers)
        return self.successResultOf(self.let(self.file.facts(self.scope)))

    def failure(self, *answers: Answer | Exception) -> tuple[State, str]:
        self.answers = list(answers)
        asked = self.let(self.file.facts(self.scope))
        while self.reactor.getDelayedCalls():
            self.reactor.advance(100)
        failed = self.failureResultOf(asked, DownloadFailed).value
        assert isinstance(failed, DownloadFailed)
        self.assertIs(self.file.failure, failed)
        return failed.state, str(failed)

    def test_a_server_with_ranges(self) -> None:
        self.assertEqual(self.facts(first()), FileFacts(TOTAL, '"e"', True))
        self.assertEqual(self.file.total, TOTAL)
        self.assertEqual(self.facts(), FileFacts(TOTAL, '"e"', True))
        self.assertEqual(self.ranges, ["bytes=0-0"])
        self.assertEqual(self.upstream.open, 0)

    def test_a_server_without_ranges(self) -> None:
        self.assertEqual(self.facts(Answer(length=TOTAL)), FileFacts(TOTAL, "", False))

    def test_a_length_that_only_the_job_tells(self) -> None:
        self.lend(size=TOTAL)
        self.assertEqual(self.file.total, TOTAL)
        self.assertEqual(self.facts(first(total="*")).total, TOTAL)

    def test_no_length(self) -> None:
        problem = "the server tells no length: give size in the job document"
        self.assertEqual(self.failure(Answer()), (State.DOWNLOAD_FAILED, problem))

    def test_another_size(self) -> None:
        self.lend(size=5)
        problem = "size: expected 5 bytes, the server has 10"
        self.assertEqual(self.failure(first()), (State.VERIFICATION_FAILED, problem))

    def test_redirects(self) -> None:
        moved = Answer(302, {"location": "https://other/f"})
        self.assertEqual(self.facts(moved, first()).total, TOTAL)
        self.assertEqual([url for url, _ in self.asked], [self.job.file, "https://other/f"])
        self.lend()
        problem = "the server redirects from https to http"
        down = Answer(302, {"location": "http://h/f"})
        self.assertEqual(self.failure(down), (State.DOWNLOAD_FAILED, problem))

    def test_no_such_file(self) -> None:
        self.assertEqual(self.failure(Answer(404)), (State.DOWNLOAD_FAILED, "HTTP 404 Not Found"))
        self.failureResultOf(self.let(self.file.facts(self.scope)), DownloadFailed)
        self.assertEqual(len(self.asked), 1)

    def test_patience_has_an_end(self) -> None:
        broken = [Answer(503)] * self.settings.max_attempts
        problem = f"HTTP 503 Service Unavailable ({self.settings.max_attempts} attempts)"
        self.assertEqual(self.failure(*broken), (State.DOWNLOAD_FAILED, problem))

    def test_trouble_that_passes(self) -> None:
        self.answers = [ConnectionError(), first()]
        asked = self.let(self.file.facts(self.scope))
        assert self.file.pause is not None
        self.assertEqual(self.file.pause[0], "ConnectionError")
        self.reactor.advance(100)
        self.assertEqual(self.successResultOf(asked).total, TOTAL)
        self.assertIsNone(self.file.pause)

    def test_a_stop(self) -> None:
        self.answers = [ConnectionError()]
        asked = self.let(self.file.facts(self.scope))
        self.scope.stop()
        self.failureResultOf(asked, CancelledError)
        self.assertEqual((self.upstream.open, self.reactor.getDelayedCalls()), (0, []))


class UrlTests(RelayBench):
    def test_one_fresh_url_for_all(self) -> None:
        self.answers = [EXPIRED, EXPIRED, first(), first()]
        asked = [self.let(self.file.facts(self.scope)) for _ in range(2)]
        reason = "HTTP 403 AccessDenied: Request has expired"
        self.assertEqual(self.refusals, [reason])
        self.file.renew(replace(self.job, file="https://h/f?fresh"))
        for each in asked:
            self.assertEqual(self.successResultOf(each).total, len(CONTENT))
        self.assertEqual(self.asked[-1][0], "https://h/f?fresh")

    def test_a_refusal_of_an_old_url(self) -> None:
        """Another request has brought the fresh one meanwhile."""
        fresh = replace(self.job, file="https://h/f?fresh")
        self.answers = [replace(EXPIRED, first=lambda: self.file.renew(fresh)), first()]
        asked = self.let(self.file.facts(self.scope))
        self.assertEqual(self.successResultOf(asked).total, len(CONTENT))
        self.assertEqual(self.refusals, [])

    def test_a_hook_that_does_not_wait(self) -> None:
        self.answers = [EXPIRED]
        asked = self.let(self.file.facts(self.scope))
        self.scope.stop()
        self.failureResultOf(asked, CancelledError)
        self.file.renew(self.job)

    def test_fresh_ones_are_refused_too(self) -> None:
        self.answers = [EXPIRED] * MAX_REFUSALS
        asked = self.let(self.file.facts(self.scope))
        for number in range(MAX_REFUSALS - 1):
            self.file.renew(replace(self.job, file=f"https://h/f?{number}"))
        self.failureResultOf(asked, DownloadFailed)
        self.assertEqual(len(self.refusals), MAX_REFUSALS - 1)
