"""The downloader on a clock, with answers from a script."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

from cryptography.hazmat.primitives.asymmetric import ed25519
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http_headers import Headers

from tests.support.downloads import KEY, Heard, make_job
from upparat.config.settings import Download, Require, Verify
from upparat.download import work
from upparat.download.downloader import Downloader
from upparat.download.errors import IdleTimeout
from upparat.download.exchange import CancelScope
from upparat.download.http import HttpExchange
from upparat.download.pool import Connections
from upparat.download.response import SLOW_DOWN, Head
from upparat.download.transfer import DISK_PAUSE
from upparat.download.verifier import Verifier
from upparat.download.writer import FLUSH_DELAY
from upparat.job import Job, State
from upparat.linux import read_boot_id
from upparat.storage.directory import Note, Part, Store

URL = "https://h/f?secret"
CONTENT = b"0123456789"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class FakePool:
    """Threads that are done at once; held back if ``held`` is a list."""

    def __init__(self) -> None:
        self.held: list[Callable[[], None]] | None = None

    def callInThreadWithCallback(
        self, done: Callable[[bool, Any], None], work: Callable[[], Any]
    ) -> None:
        def run() -> None:
            try:
                result = work()
            except Exception as error:
                done(False, error)
            else:
                done(True, result)

        run() if self.held is None else self.held.append(run)


class FakeReactor(Clock):
    def __init__(self) -> None:
        super().__init__()
        self.pool = FakePool()

    def getThreadPool(self) -> FakePool:
        return self.pool

    def callFromThread(self, work: Callable[..., None], *args: Any) -> None:
        work(*args)


@dataclass
class Answer:
    """``end``: whether the end is marked, an exception, or ``None`` for a body that hangs."""

    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunks: Iterable[bytes] = ()
    end: bool | Exception | None = True
    body: bytes = b""
    receive: Callable[[bytes], None] = lambda _: None


class FakeExchange:
    def __init__(self, bench: Bench, waiter: CancelScope) -> None:
        self.bench = bench
        self.waiter = waiter

    async def head(self, url: str, headers: Mapping[str, str]) -> Head:
        self.bench.asked.append((url, dict(headers)))
        answer = self.answer = self.bench.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        named = Headers({name: [value] for name, value in answer.headers.items()})
        return Head(answer.status, named, answer.length)

    async def body(self, receive: Callable[[bytes], None]) -> bool:
        answer = self.answer
        assert isinstance(answer, Answer)
        answer.receive = receive
        for chunk in answer.chunks:
            receive(chunk)
        if isinstance(answer.end, Exception):
            raise answer.end
        if answer.end is None:
            await self.waiter.wait(Deferred())
        return bool(answer.end)

    async def error_body(self) -> bytes:
        assert isinstance(self.answer, Answer)
        return self.answer.body

    async def drain(self) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def close(self) -> None:
        self.bench.closed += 1


class Bench(SynchronousTestCase):
    settings = Download(max_attempts=4)
    verify = Verify()

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.files = Store(self.directory).files(KEY)
        self.reactor = FakeReactor()
        at_once = lambda reactor, work, name: maybeDeferred(work)  # noqa: E731
        self.patch(work, "defer_to_daemon_thread", at_once)
        self.answers: list[Answer | Exception] = []
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.closed = 0
        self.new()

    def new(self) -> None:
        """An agent that has just started."""
        self.heard = Heard()
        self.downloader = Downloader(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            self.directory,
            verifier=Verifier(self.verify),
            random=lambda: 1.0,
            exchange=lambda waiter: FakeExchange(self, waiter),
        )
        self.downloader.events = self.heard

    def start(self, *answers: Answer | Exception, **values: Any) -> Job:
        self.answers = list(answers)
        job = make_job(URL, **values)
        self.downloader.start(job)
        return job

    def waits(self) -> float:
        """Until when the back-off lasts, from now."""
        (call,) = self.reactor.getDelayedCalls()
        return call.getTime() - self.reactor.seconds()

    def leave_part(self, content: bytes = CONTENT[:4], **note: Any) -> None:
        self.directory.mkdir(exist_ok=True)
        self.files.part.write_bytes(content)
        usual = {"path": "/f", "etag": '"e"', "total": 10, "boot_id": read_boot_id()}
        self.files.write_note(Note(**{**usual, **note}))


def whole(**values: Any) -> Answer:
    return Answer(headers={"etag": '"e"'}, length=10, chunks=[CONTENT], **values)


def rest(start: int, end: int = 10) -> Answer:
    headers = {"etag": '"e"', "content-range": f"bytes {start}-9/10"}
    return Answer(206, headers, 10 - start, [CONTENT[start:end]], end == 10 or ConnectionError())


def broken(after: int) -> Answer:
    headers = {"etag": '"e"'}
    return Answer(200, headers, 10, [CONTENT[:after]], ConnectionError())


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


class BackOffTests(Bench):
    settings = Download(max_attempts=20)

    def test_waits_double_up_to_a_cap(self) -> None:
        self.start(*[ConnectionError()] * 20)
        waits = []
        while not self.heard.outcome:
            waits.append(self.waits())
            self.reactor.advance(waits[-1])
        self.assertEqual(waits, [1, 2, 4, 8, 16, 32] + [64] * 13)
        failed = ("download_failed", State.DOWNLOAD_FAILED, "ConnectionError (20 attempts)")
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), 20)

    def test_a_new_byte_renews_it(self) -> None:
        self.start(ConnectionError(), ConnectionError(), broken(4), ConnectionError(), rest(4))
        for wait in (1, 2, 1, 1):
            self.assertEqual(self.waits(), wait)
            self.reactor.advance(wait)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_the_same_bytes_again_do_not(self) -> None:
        self.start(*[broken(4) for _ in range(4)], whole())  # Range is ignored
        for wait in (1, 1, 2, 4):
            self.assertEqual(self.waits(), wait)
            self.reactor.advance(wait)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_retry_after_is_honoured(self) -> None:
        self.start(Answer(503, {"retry-after": "100"}), Answer(503, {"retry-after": "1"}), whole())
        self.assertEqual(self.waits(), 100)
        self.reactor.advance(100)
        self.assertEqual(self.waits(), 2)
        self.reactor.advance(2)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_fleet_is_spread(self) -> None:
        """The random number is 1 here, and otherwise less."""
        slow = b"<Error><Code>SlowDown</Code></Error>"
        self.start(Answer(503, body=slow), Answer(503, {"retry-after": "100"}, body=slow), whole())
        self.assertEqual(self.waits(), 2 * SLOW_DOWN)
        self.reactor.advance(2 * SLOW_DOWN)
        self.assertEqual(self.waits(), 100 + SLOW_DOWN)

    def test_stop_ends_the_wait(self) -> None:
        self.start(ConnectionError())
        self.downloader.stop()
        self.assertEqual(self.reactor.getDelayedCalls(), [])
        self.assertEqual(self.heard.events, [])


class BudgetTests(Bench):
    def test_a_second_start_continues_it(self) -> None:
        self.start(*[ConnectionError()] * 3)
        self.reactor.advance(1)
        self.reactor.advance(2)
        self.downloader.stop()
        self.start(ConnectionError())
        self.assertEqual(self.heard.outcome[:2], ("download_failed", State.DOWNLOAD_FAILED))  # type: ignore[index]

    def test_another_execution_has_its_own(self) -> None:
        refused = ("url_expired", "HTTP 403 Forbidden")
        for number in (1, 1, 2, 2):
            self.answers = [Answer(403)]
            self.downloader.start(make_job(URL, KEY._replace(number=number)))
            self.assertEqual(self.heard.outcome, refused)

    def test_discard_forgets_it(self) -> None:
        for _ in range(5):
            job = self.start(Answer(403))
            self.assertEqual(self.heard.outcome, ("url_expired", "HTTP 403 Forbidden"))
            self.downloader.discard(job.key)

    def test_refusals_in_a_row_are_counted_between_new_bytes(self) -> None:
        for answers in (
            [Answer(403)],
            [Answer(403)],
            [broken(4), Answer(403)],
            [Answer(403)],
        ):
            self.start(*answers)
            self.reactor.advance(1)
            self.assertEqual(self.heard.outcome, ("url_expired", "HTTP 403 Forbidden"))
        self.start(Answer(403))
        failed = ("download_failed", State.DOWNLOAD_FAILED, "HTTP 403 Forbidden")
        self.assertEqual(self.heard.outcome, failed)

    def test_a_listener_may_start_again_from_within_the_event(self) -> None:
        answers: list[Answer | Exception] = [Answer(403), whole()]

        def start_again(name: str) -> None:
            if name == "url_expired":
                self.downloader.start(make_job(URL))

        self.heard.also = start_again
        self.start(*answers)
        self.assertEqual(self.heard.events[-1][0], "downloaded")


class ResumeTests(Bench):
    def asked_ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def test_a_part_is_continued_after_a_restart(self) -> None:
        self.leave_part()
        self.start(rest(4), sha256=SHA256)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(self.asked, [(URL, {"Range": "bytes=4-", "If-Match": '"e"'})])

    def test_a_part_that_cannot_belong_to_the_file_is_not(self) -> None:
        for note, job in (
            ({"path": "/other"}, {}),
            ({"etag": "", "total": None}, {}),
            ({"total": 11}, {"size": 10}),
            ({"total": None}, {"size": 3}),
        ):
            self.leave_part(**note)
            self.start(Answer(500), **job)
            self.assertEqual(self.asked.pop(), (URL, {}), note)
            self.assertEqual(self.files.part.stat().st_size, 0)
            self.downloader.stop()

    def test_a_complete_part_needs_no_request(self) -> None:
        self.leave_part(CONTENT)
        self.start(sha256=SHA256)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.assertEqual(self.asked, [])

    def test_a_part_that_cannot_be_read_comes_anew(self) -> None:
        self.leave_part()
        trouble = OSError(errno.EIO, "Input/output error")
        with mock.patch.object(Part, "rehash", side_effect=trouble):
            self.start(whole())
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual([headers.get("Range") for _, headers in self.asked], [None])

    def test_a_part_of_another_boot_may_hold_zeros(self) -> None:
        """It was not synced: only the digest of the job could tell."""
        self.leave_part(bytes(4), boot_id="another")
        self.start(whole())
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)

    def test_a_part_of_another_boot_with_a_digest_is_continued(self) -> None:
        self.leave_part(boot_id="another")
        self.start(rest(4), sha256=SHA256)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_stop_while_it_is_hashed(self) -> None:
        self.leave_part()
        self.reactor.pool.held = []
        self.start()
        self.downloader.stop()
        self.reactor.pool.held.pop()()
        self.assertEqual((self.heard.events, self.asked), ([], []))
        self.assertEqual(self.files.part.read_bytes(), CONTENT[:4])

    def test_a_complete_file_is_used_again_only_if_it_is_right(self) -> None:
        self.start(whole())
        for values, content, requests in (
            ({"sha256": SHA256}, CONTENT, 0),
            ({"sha256": "0" * 64}, CONTENT, 1),
            ({"size": 11}, CONTENT, 1),
            ({}, CONTENT[::-1], 1),
            ({}, CONTENT[1:], 1),
        ):
            self.new()
            self.files.complete.write_bytes(content)
            self.asked.clear()
            self.start(Answer(404), **values)
            self.assertEqual(len(self.asked), requests, (values, content))

    def test_a_complete_file_that_goes_away_meanwhile_is_fetched(self) -> None:
        self.start(whole())
        self.new()
        self.reactor.pool.held = []
        self.start(whole())
        self.files.complete.unlink()
        hashing, self.reactor.pool.held = self.reactor.pool.held, None
        hashing.pop()()
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_stop_between_the_sync_and_the_name(self) -> None:
        self.reactor.pool.held = []
        self.start(whole())
        self.downloader.stop()
        self.reactor.pool.held.pop()()
        self.assertFalse(self.files.complete.exists())
        self.assertEqual(self.heard.outcome, None)


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


class DiskTests(Bench):
    def fail_with(self, number: int, method: str) -> tuple[Any, ...]:
        error = OSError(number, os.strerror(number))
        with mock.patch.object(Part, method, side_effect=error):
            self.start(whole(), whole(), whole())
            self.reactor.pump([DISK_PAUSE] * 2)
        assert self.heard.outcome is not None
        return self.heard.outcome

    def test_no_room(self) -> None:
        failed = ("download_failed", State.INSUFFICIENT_STORAGE, "No space left on device")
        self.assertEqual(self.fail_with(errno.ENOSPC, "write"), failed)
        self.assertEqual(os.listdir(self.directory), [])

    def test_others_make_room(self) -> None:
        error = OSError(errno.ENOSPC, "full")
        with mock.patch.object(Part, "write", side_effect=error):
            self.start(whole(), whole())
        self.assertIsNone(self.heard.outcome)
        self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))

    def test_no_room_is_seen_before(self) -> None:
        failed = ("download_failed", State.INSUFFICIENT_STORAGE, "No space left on device")
        self.assertEqual(self.fail_with(errno.ENOSPC, "make_room"), failed)

    def test_a_broken_disk(self) -> None:
        for method in ("write", "commit", "syncing"):
            failed = (
                "download_failed",
                State.DOWNLOAD_FAILED,
                "the file cannot be stored: Input/output error",
            )
            self.assertEqual(self.fail_with(errno.EIO, method), failed)

    def test_removing_that_fails_too(self) -> None:
        with mock.patch("pathlib.Path.unlink", side_effect=OSError(errno.EROFS, "read-only")):
            outcome = self.fail_with(errno.ENOSPC, "write")
        self.assertEqual(outcome[1], State.INSUFFICIENT_STORAGE)

    def test_a_sync_that_fails_leaves_nothing_to_build_upon(self) -> None:
        """Linux tells it once, and takes the pages for written."""
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("os.fdatasync", side_effect=trouble):
            self.start(whole(), whole(), sha256=SHA256)
            self.assertEqual(self.files.part.read_bytes(), b"")
            self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual([headers.get("Range") for _, headers in self.asked], [None, None])

    def test_bytes_that_come_again_renew_the_attempts(self) -> None:
        parts = [broken(2), *(rest(n, n + 1) for n in range(2, 9)), rest(9)]
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("os.fdatasync", side_effect=trouble):
            self.start(whole(), *parts, sha256=SHA256)
            self.reactor.pump([DISK_PAUSE] * 10)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertGreater(len(parts), self.settings.max_attempts)

    def test_a_directory_that_cannot_be_synced_at_first(self) -> None:
        trouble = [OSError(errno.EIO, "Input/output error"), None]
        with mock.patch("upparat.storage.directory.sync_directory", side_effect=trouble):
            self.start(whole(), sha256=SHA256)
            self.assertFalse(self.files.complete.exists())
            self.reactor.advance(DISK_PAUSE)
        self.assertEqual(self.heard.outcome, ("downloaded", str(self.files.complete)))
        self.assertEqual(self.files.complete.read_bytes(), CONTENT)
        self.assertEqual(len(self.asked), 1)

    def test_a_directory_in_the_way(self) -> None:
        self.directory.write_bytes(b"")
        self.start(whole())
        self.assertEqual(self.heard.outcome[:2], ("download_failed", State.DOWNLOAD_FAILED))  # type: ignore[index]

    def test_a_directory_with_the_files_name(self) -> None:
        (self.directory / "job").mkdir(parents=True)
        self.start(whole())
        self.reactor.pump([DISK_PAUSE] * 2)
        failed = (
            "download_failed",
            State.DOWNLOAD_FAILED,
            "the file cannot be stored: Is a directory",
        )
        self.assertEqual(self.heard.outcome, failed)


class VerificationTests(Bench):
    def test_one_damaged_part_is_forgiven(self) -> None:
        self.leave_part(b"xxxx")
        self.start(rest(4), whole(), sha256=SHA256)
        self.assertEqual(self.waits(), 1)
        self.reactor.advance(1)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_the_second_download_has_a_budget_of_its_own(self) -> None:
        """Bytes that a damaged file had before are new ones then."""
        self.leave_part(b"xxxx")
        headers = {"etag": '"e"'}
        pieces = [
            Answer(
                206,
                {**headers, "content-range": f"bytes {n}-9/10"},
                10 - n,
                [CONTENT[n : n + 1]],
                ConnectionError(),
            )
            for n in range(1, 10)
        ]
        self.start(rest(4), broken(1), *pieces, sha256=SHA256)
        for _ in range(10):
            self.assertEqual(self.waits(), 1)
            self.reactor.advance(1)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_wrong_file_is_not_fetched_a_third_time(self) -> None:
        self.start(whole(), whole(), whole(), sha256="0" * 64)
        self.reactor.advance(1)
        message = f"sha256: expected {'0' * 64}, got {SHA256}"
        failed = ("download_failed", State.VERIFICATION_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(len(self.asked), 2)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_short_file(self) -> None:
        for size in (9, 11):
            self.heard.events.clear()
            self.downloader.discard(self.start(whole(), whole(), size=size).key)
            self.start(whole(), whole(), size=size)
            self.reactor.advance(1)
            message = f"size: expected {size} bytes, the server has 10"
            failed = ("download_failed", State.VERIFICATION_FAILED, message)
            self.assertEqual(self.heard.outcome, failed)

    def test_sha512(self) -> None:
        sha512 = hashlib.sha512(CONTENT).hexdigest()
        self.start(whole(), sha512=sha512)
        self.assertEqual(self.heard.events[-1][0], "downloaded")
        self.downloader.discard(KEY)
        self.start(whole(), whole(), sha512="0" * 128)
        self.reactor.advance(1)
        message = f"sha512: expected {'0' * 128}, got {sha512}"
        failed = ("download_failed", State.VERIFICATION_FAILED, message)
        self.assertEqual(self.heard.outcome, failed)
        self.assertEqual(os.listdir(self.directory), [])

    def test_a_part_of_another_boot_with_a_sha512_is_continued(self) -> None:
        self.leave_part(boot_id="another")
        self.start(rest(4), sha512=hashlib.sha512(CONTENT).hexdigest())
        self.assertEqual(self.asked[0][1]["Range"], "bytes=4-")
        self.assertEqual(self.heard.events[-1][0], "downloaded")


class SignatureTests(Bench):
    """With a signature over the file itself."""

    def setUp(self) -> None:
        self.key = ed25519.Ed25519PrivateKey.generate()
        self.verify = Verify(Require.SIGNATURE, (self.key.public_key(),), bind_version=False)
        super().setUp()

    def failure(self) -> object:
        """Why the verification failed, with nothing left behind."""
        outcome = self.heard.outcome
        assert outcome is not None
        self.assertEqual(outcome[:2], ("download_failed", State.VERIFICATION_FAILED))
        self.assertEqual(os.listdir(self.directory), [])
        return outcome[2]

    def test_good(self) -> None:
        self.start(whole(), signature=self.key.sign(CONTENT))
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_wrong_one_has_a_second_chance(self) -> None:
        self.start(whole(), whole(), signature=self.key.sign(b"other"))
        self.reactor.advance(1)
        self.assertEqual(self.failure(), "signature: no key of ours has made it")
        self.assertEqual(len(self.asked), 2)

    def test_a_wrong_one_for_what_is_surely_the_file_has_none(self) -> None:
        self.start(whole(), sha256=SHA256, signature=self.key.sign(b"other"))
        self.assertEqual(self.failure(), "signature: no key of ours has made it")

    def test_without_one_nothing_is_fetched(self) -> None:
        self.directory.mkdir()
        self.leave_part()
        self.start()
        self.assertEqual(self.failure(), "signature: is missing in the job document")
        self.assertEqual(self.asked, [])

    def test_a_complete_file_is_checked_again(self) -> None:
        """The owner may have changed the keys meanwhile."""
        signature = self.key.sign(CONTENT)
        self.start(whole(), signature=signature)
        other = ed25519.Ed25519PrivateKey.generate().public_key()
        self.verify = Verify(Require.SIGNATURE, (other,), bind_version=False)
        self.new()
        self.start(whole(), whole(), signature=signature)
        self.reactor.advance(1)
        self.assertEqual(self.failure(), "signature: no key of ours has made it")


class ConnectionTests(SynchronousTestCase):
    def test_a_connection_that_never_comes(self) -> None:
        """Looking up the name counts as well."""
        clock = Clock()
        settings = Download(connect_timeout=7.0)
        connections = Connections(clock, settings)  # type: ignore[arg-type]
        exchange = HttpExchange(clock, settings, CancelScope(), connections)  # type: ignore[arg-type]
        endpoint = mock.Mock()
        endpoint.connect.return_value = Deferred()
        with mock.patch("upparat.download.agent.HostnameEndpoint", return_value=endpoint):
            head = Deferred.fromCoroutine(exchange.head("http://h/f", {}))
        clock.advance(6.9)
        self.assertNoResult(head)
        clock.advance(0.1)
        self.assertEqual(
            str(self.failureResultOf(head, IdleTimeout).value), "no connection for 7 s"
        )
        exchange.close()
        self.assertEqual(clock.getDelayedCalls(), [])

    def test_nothing_begins_once_stopped(self) -> None:
        waiter, begun = CancelScope(), Deferred[None]()
        waiter.stop()
        waited = Deferred.fromCoroutine(waiter.wait(begun))
        self.failureResultOf(waited, CancelledError)
        self.assertTrue(begun.called)
