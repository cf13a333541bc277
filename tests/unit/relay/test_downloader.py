"""Offers of files, and the URL that is lent for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import CannotListenError

from tests.support.downloads import Heard, make_job
from tests.unit.download.bench import URL, Bench
from upparat.config.settings import DownloadSettings, Require, VerifySettings
from upparat.download.transfer import DownloadFailed
from upparat.download.verifier import Verifier
from upparat.job import ExecutionKey, Job, State
from upparat.ports import LOOPBACK
from upparat.relay import loan
from upparat.relay.downloader import NEEDS_DIGEST, PLAIN, UrlDownloader
from upparat.relay.loan import LoanListener
from upparat.snapshots import DownloadSnapshot

OTHER = ExecutionKey("other", 1, 1700000000)


class FakeLoan:
    failure: DownloadFailed | None = None

    def __init__(self, bench: LenderBench, job: Job, listener: LoanListener) -> None:
        bench.loans.append(self)
        if bench.refuses:
            raise CannotListenError("127.0.0.1", 0, OSError(24, "too many files"))
        self.job = job
        self.listener = listener
        self.url = "http://127.0.0.1:1/token"
        self.done: list[str] = []
        self.closed: Deferred[None] = succeed(None)

    def renew(self, job: Job) -> None:
        self.job = job
        self.done.append("renew")

    def report(self) -> None:
        self.done.append("report")
        self.listener.fetched_so_far(5, 10)

    def snapshot(self) -> DownloadSnapshot:
        return DownloadSnapshot(5, 10)

    def close(self) -> Deferred[None]:
        self.done.append("close")
        return self.closed


class LenderBench(Bench):
    def new(self) -> None:
        self.heard = Heard()
        self.loans: list[FakeLoan] = []
        self.refuses = False
        make: Callable[..., FakeLoan] = lambda reactor, settings, job, listener, random: FakeLoan(  # noqa: E731
            self, job, listener
        )
        self.patch(loan, "Loan", make)
        self.lender = UrlDownloader(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            self.directory,
            verifier=Verifier(self.verify),
        )
        self.lender.events = self.heard

    def offer(self, **values: Any) -> Job:
        job = make_job(values.pop("url", URL), **values)
        self.lender.start(job)
        return job


class OfferTests(LenderBench):
    def test_good(self) -> None:
        self.leave_part()
        self.offer()
        self.assertEqual(self.heard.events, [("stream_ready", LOOPBACK)])
        self.assertFalse(self.files.part.exists())
        self.assertIsNone(self.lender.snapshot())

    def test_bad(self) -> None:
        digest = {"sha256": "0" * 64}
        missing = "the job document has neither sha256 nor sha512"
        for settings, values, state, message in (
            (VerifySettings(Require.DIGEST), {}, State.VERIFICATION_FAILED, missing),
            (VerifySettings(), {"url": "ftp://h/f"}, State.DOWNLOAD_FAILED, None),
            (VerifySettings(), {"url": "http://h/f", **digest}, State.DOWNLOAD_FAILED, PLAIN),
        ):
            self.verify = settings
            self.new()
            self.offer(**values)
            [(event, told, text)] = self.heard.events
            self.assertEqual((event, told), ("download_failed", state))
            self.assertIn(message or "neither https nor http", text)

    def test_a_signature_that_needs_the_file(self) -> None:
        self.patch(Verifier, "needs_file", lambda *_: True)
        self.offer()
        failed = ("download_failed", State.VERIFICATION_FAILED, NEEDS_DIGEST)
        self.assertEqual(self.heard.events, [failed])

    def test_plain_http_that_is_allowed(self) -> None:
        self.settings = DownloadSettings(allow_http=True)
        self.new()
        self.offer(url="http://h/f")
        self.assertEqual(self.heard.events, [("stream_ready", LOOPBACK)])

    def test_a_stop(self) -> None:
        self.reactor.pool.held = []
        self.offer()
        self.lender.stop()
        [load] = self.reactor.pool.held
        load()
        self.assertEqual(self.heard.events, [])

    def test_after_the_stop_for_good(self) -> None:
        self.lender.shut_down()
        self.offer()
        self.assertEqual(self.heard.events, [])
        self.assertEqual(len(self.flushLoggedErrors()), 0)


class LoanTests(LenderBench):
    def lend(self) -> FakeLoan:
        self.job = self.offer()
        self.assertEqual(self.lender.lend(self.job), "http://127.0.0.1:1/token")
        self.heard.events.clear()
        return self.loans[-1]

    def test_progress(self) -> None:
        lent = self.lend()
        lent.listener.received(7)
        self.assertEqual(self.lender.fetched, 7)
        self.assertEqual(self.lender.snapshot(), DownloadSnapshot(5, 10))
        self.assertIsNone(self.lender.take_back())
        self.assertEqual(self.heard.events, [("progressed", 5, 10)])
        self.assertEqual(lent.done, ["report", "close"])
        self.assertIsNone(self.lender.take_back())

    def test_a_fresh_url(self) -> None:
        lent = self.lend()
        lent.listener.refused("HTTP 403")
        self.assertEqual(self.heard.events, [("url_expired", "HTTP 403")])
        fresh = replace(self.job, file="https://h/f?fresh")
        self.lender.start(fresh)
        self.assertEqual(lent.done, ["renew"])
        self.lender.take_back()
        self.lender.lend(self.job)
        self.assertEqual(self.loans[-1].job, fresh, "the next run needs no other")

    def test_a_file_that_cannot_be_had(self) -> None:
        lent = self.lend()
        lent.failure = DownloadFailed(State.DOWNLOAD_FAILED, "HTTP 404")
        report = self.lender.take_back()
        assert report is not None
        self.assertIsNone(self.heard.outcome)
        report()
        failed = ("download_failed", State.DOWNLOAD_FAILED, "HTTP 404")
        self.assertEqual(self.heard.outcome, failed)

    def test_no_port(self) -> None:
        self.refuses = True
        job = self.offer()
        self.assertEqual(self.assertRaises(OSError, self.lender.lend, job).errno, 24)

    def test_another_job(self) -> None:
        lent = self.lend()
        self.lender.discard(OTHER)
        self.assertEqual(lent.done, [])
        self.offer(key=OTHER)
        self.assertEqual(lent.done, ["close"])

    def test_the_job_is_over(self) -> None:
        lent = self.lend()
        self.lender.discard(self.job.key)
        self.assertEqual(lent.done, ["close"])

    def test_a_stop_for_good_waits_for_the_port(self) -> None:
        lent = self.lend()
        lent.closed = Deferred()
        stopped = self.lender.shut_down()
        self.assertNoResult(stopped)
        lent.closed.callback(None)
        self.reactor.advance(0)
        self.successResultOf(stopped)
