"""The downloader on a clock: its events, stops and shut-down."""

from __future__ import annotations

import errno
import os
from unittest import mock

from tests.support.downloads import KEY, make_job, write_later
from tests.unit.download.bench import (
    CONTENT,
    SHA256,
    URL,
    Answer,
    Bench,
    rest,
    whole,
)
from upparat.download.writer import FLUSH_DELAY
from upparat.job import State
from upparat.storage.directory import Store


class DownloadTests(Bench):
    def test_success(self) -> None:
        self.start(whole(), size=10, sha256=SHA256)
        path = str(self.directory / "job")
        self.assertEqual(
            self.heard.events,
            [("progressed", 10, 10), ("progressed", 10, 10), ("downloaded", path)],
        )
        self.assertEqual(self.asked, [(URL, {})])
        self.assertEqual(self.closed, 1)
        self.assertEqual(self.reactor.getDelayedCalls(), [])

    def test_the_bytes_that_have_come_are_counted(self) -> None:
        """What an earlier agent has left is not among them."""
        self.leave_part(CONTENT[:4])
        self.start(rest(4), sha256=SHA256)
        self.assertEqual(self.downloader.fetched, 6)

    def test_progress_is_told_once_a_second(self) -> None:
        answer = Answer(length=1000, end=None)
        self.start(answer)
        for _ in range(40):
            answer.receive(b"x")
            self.reactor.advance(0.25)
        self.assertEqual(self.heard.events, [("progressed", 4 * n + 2, 1000) for n in range(10)])

    def test_the_url_is_refused(self) -> None:
        for url, reason in (
            (
                "http://h/f",
                "plain http needs [download] allow_http, or a sha256 or sha512 in the job document",
            ),
            ("file:///f", "file is neither https nor http"),
        ):
            self.downloader.start(make_job(url))
            failed = ("download_failed", State.DOWNLOAD_FAILED, f"file: {reason}")
            self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(self.asked, [])

    def test_an_unsafe_job_id_is_refused(self) -> None:
        job = make_job(URL, KEY._replace(job_id="../job"))
        self.downloader.start(job)
        reason = "the job id '../job' cannot be the name of a file"
        self.assertEqual(self.heard.outcome, ("download_failed", State.DOWNLOAD_FAILED, reason))
        self.downloader.discard(job.key)
        self.assertFalse(self.directory.exists())

    def test_the_file_of_a_hook_is_the_verified_one(self) -> None:
        path = self.files.complete
        self.assertEqual(self.downloader.file_problem(str(path)), "the file was not verified")
        for again in (False, True):
            self.start(*[] if again else [whole()], sha256=SHA256)
            self.assertEqual(self.downloader.file_problem(str(path)), "")
            other = str(self.files.part)
            self.assertEqual(self.downloader.file_problem(other), "the file was not verified")
            self.new()
            self.assertEqual(self.downloader.file_problem(str(path)), "the file was not verified")

    def test_a_verified_file_that_was_changed(self) -> None:
        path = self.files.complete
        for change in (
            lambda: write_later(path, CONTENT[::-1]),
            lambda: os.truncate(path, 3),
            path.unlink,
        ):
            self.start(whole(), whole(), sha256=SHA256)
            self.assertEqual(self.downloader.file_problem(str(path)), "")
            change()
            problem = "the file was changed after it was verified"
            self.assertEqual(self.downloader.file_problem(str(path)), problem)

    def test_a_bug_is_told_and_logged(self) -> None:
        with mock.patch.object(Store, "prepare", side_effect=ZeroDivisionError):
            self.start()
        failed = ("download_failed", State.DOWNLOAD_FAILED, "ZeroDivisionError")
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_a_listener_that_raises_is_logged(self) -> None:
        def raise_it(_: str) -> None:
            raise ZeroDivisionError

        self.heard.also = raise_it
        self.downloader.start(make_job("file:///f"))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class StopTests(Bench):
    def test_no_event_after_stop(self) -> None:
        answer = Answer(length=10, chunks=[b"01"], end=None)
        self.start(answer)
        self.reactor.advance(FLUSH_DELAY)
        self.downloader.stop()
        self.reactor.advance(FLUSH_DELAY)
        self.assertEqual(self.heard.events, [("progressed", 2, 10)])
        self.assertEqual(self.closed, 1)

    def test_a_listener_that_stops_it_at_the_first_progress(self) -> None:
        self.heard.also = lambda _: self.downloader.stop()
        self.start(Answer(length=10, chunks=[b"01", b"23"], end=None))
        self.reactor.advance(FLUSH_DELAY)
        self.assertEqual(self.heard.events, [("progressed", 4, 10)])
        self.assertEqual(self.closed, 1)

    def test_the_next_one_begins_when_nobody_writes_any_more(self) -> None:
        """Old bytes must not get into a new file."""
        answer = Answer(length=10, chunks=[b"01"], end=None)
        self.start(answer)
        self.reactor.pool.held = []
        self.reactor.advance(FLUSH_DELAY)
        self.downloader.stop()
        self.start(whole())
        self.assertEqual(len(self.asked), 1)
        [write], self.reactor.pool.held = self.reactor.pool.held, None
        write()
        self.assertEqual(len(self.asked), 2)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)

    def test_one_that_is_stopped_before_its_turn(self) -> None:
        self.start(Answer(length=10, chunks=[b"01"], end=None))
        self.reactor.pool.held = []
        self.reactor.advance(FLUSH_DELAY)
        self.start(whole())
        ended = self.downloader.shut_down()
        self.assertNoResult(ended)
        self.reactor.pool.held[0]()
        self.reactor.advance(0)
        self.successResultOf(ended)
        self.assertEqual((self.heard.events, len(self.asked)), ([], 1))
        self.assertEqual(self.closed, 1)

    def test_a_listener_that_discards_at_the_last_progress(self) -> None:
        job = make_job(URL)

        def discard_at_the_end(_: str) -> None:
            if len(self.heard.events) == 2:
                self.downloader.discard(job.key)

        self.heard.also = discard_at_the_end
        self.start(whole())
        self.assertEqual(self.heard.events, [("progressed", 10, 10)] * 2)
        self.assertEqual(os.listdir(self.directory), [])

    def test_shut_down_is_final(self) -> None:
        self.start(Answer(length=10, end=None))
        ended = self.downloader.shut_down()
        self.reactor.advance(0)
        self.successResultOf(ended)
        self.start(whole())
        self.assertEqual((self.heard.events, len(self.asked)), ([], 1))

    def test_clean_keeps_unfinished_and_complete(self) -> None:
        self.leave_part()
        self.downloader.clean(KEY)
        self.assertTrue(self.files.part.exists())
        self.downloader.clean(None)
        self.assertEqual(os.listdir(self.directory), [])
        self.start(whole())
        self.downloader.clean(None)
        self.assertTrue(self.files.complete.exists())

    def test_clean_does_not_raise(self) -> None:
        with mock.patch.object(Store, "clean", side_effect=OSError(errno.EACCES, "no")):
            self.downloader.clean(None)
