"""Files on their way through the agent: the downloads on a clock, and a hook that only pretends."""

from __future__ import annotations

import hashlib
from typing import Any

from twisted.internet.defer import Deferred

from tests.support.downloads import FakeStreamConsumer, Heard, make_job
from tests.unit.download.bench import URL, Answer, FakeExchange
from tests.unit.download.bench import Bench as DownloadBench
from upparat.config.settings import Require, VerifySettings
from upparat.download.streamed import HELD_BACK, StreamDownloader
from upparat.download.verifier import Verifier
from upparat.download.writer import FLUSH_DELAY
from upparat.job import Job, State

CONTENT = bytes(range(256)) * 1024  # of 256 KiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
HALF = len(CONTENT) // 2


def whole(**more: Any) -> Answer:
    return Answer(headers={"etag": '"e"'}, length=len(CONTENT), chunks=[CONTENT], **more)


def half(**more: Any) -> Answer:
    return Answer(headers={"etag": '"e"'}, length=len(CONTENT), chunks=[CONTENT[:HALF]], **more)


def rest() -> Answer:
    span = f"bytes {HALF}-{len(CONTENT) - 1}/{len(CONTENT)}"
    return Answer(206, {"etag": '"e"', "content-range": span}, HALF, [CONTENT[HALF:]])


class Bench(DownloadBench):
    verify = VerifySettings()

    def new(self) -> None:
        self.heard = Heard()
        self.through = StreamDownloader(
            self.reactor,  # type: ignore[arg-type]
            self.settings,
            self.directory,
            verifier=Verifier(self.verify),
            random=lambda: 0.0,
            exchange=lambda waiter: FakeExchange(self, waiter),
        )
        self.through.events = self.heard
        self.consumer = FakeStreamConsumer()

    def job(self, **values: Any) -> Job:
        return make_job(URL, **{"sha256": SHA256, **values})

    def begin(self, *answers: Answer | Exception, **values: Any) -> Job:
        """The hook runs, and reads."""
        self.answers = list(answers)
        job = self.job(**values)
        self.through.stream(job, self.consumer)
        return job

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]

    def outcomes(self) -> list[tuple[Any, ...]]:
        return [event for event in self.heard.events if event[0] != "progressed"]


class OfferTests(Bench):
    def test_a_file_that_can_be_told_from_others(self) -> None:
        for values in ({}, {"sha256": None, "sha512": "0" * 128}):
            self.through.start(self.job(**values))
            self.assertEqual(self.outcomes(), [("stream_ready",)])
            self.heard.events.clear()
        self.assertEqual(self.asked, [])

    def test_one_that_cannot(self) -> None:
        self.through.start(self.job(sha256=None))
        needs = "[hooks] install_stream needs sha256, sha512 or a signature in the job document"
        failed = ("download_failed", State.VERIFICATION_FAILED, needs)
        self.assertEqual(self.outcomes(), [failed])

    def test_one_that_need_not_be_fetched(self) -> None:
        self.verify = VerifySettings(Require.SIGNATURE)
        self.new()
        self.through.start(self.job())
        problem = "signature: is missing in the job document"
        failed = ("download_failed", State.VERIFICATION_FAILED, problem)
        self.assertEqual(self.outcomes(), [failed])

    def test_files_of_other_settings_are_removed(self) -> None:
        self.directory.mkdir(parents=True)
        self.files.part.write_bytes(b"x")
        self.through.start(self.job())
        self.assertFalse(self.files.part.exists())


class WayTests(Bench):
    def test_the_last_bytes_come_with_the_verdict(self) -> None:
        self.begin(half(end=None))
        exchange = self.answers
        self.assertEqual(exchange, [])
        self.reactor.advance(1)
        self.assertEqual(self.consumer.written, CONTENT[: HALF - HELD_BACK])
        self.assertEqual(self.consumer.told, [])

    def test_all_of_it(self) -> None:
        self.begin(whole())
        self.assertEqual(self.consumer.written, CONTENT)
        self.assertEqual(self.consumer.told, [f"conclude {len(CONTENT)}"])
        size = len(CONTENT)
        self.assertEqual(self.heard.events[-1], ("progressed", size, size))
        self.assertEqual(self.outcomes(), [])

    def test_a_small_and_an_empty_file(self) -> None:
        for content in (b"small", b""):
            self.new()
            sha256 = hashlib.sha256(content).hexdigest()
            self.begin(Answer(length=len(content), chunks=[content]), sha256=sha256)
            self.assertEqual(self.consumer.written, content)
            self.assertEqual(self.consumer.told, [f"conclude {len(content)}"])

    def test_it_goes_on_after_a_cut(self) -> None:
        self.begin(half(end=ConnectionError()), rest())
        self.reactor.advance(60)
        self.assertEqual(self.ranges, [None, f"bytes={HALF}-"])
        self.assertEqual(self.consumer.told, [f"conclude {len(CONTENT)}"])
        self.assertEqual(self.consumer.written, CONTENT)

    def test_without_an_etag_it_comes_anew(self) -> None:
        first = half(end=ConnectionError())
        first.headers = {}
        self.begin(first, Answer(length=len(CONTENT), chunks=[CONTENT]))
        self.reactor.advance(60)
        self.assertEqual(self.ranges, [None, None])
        self.assertEqual(self.consumer.told, ["run_again"])
        self.assertEqual(self.outcomes(), [])

    def test_another_file_on_the_server(self) -> None:
        self.begin(half(end=ConnectionError()), Answer(412))
        self.reactor.advance(60)
        self.assertEqual(self.consumer.told, ["run_again"])

    def test_another_etag_is_another_file(self) -> None:
        """Though there is a digest: it comes when the hook has read it already."""
        for answer in (rest(), whole()):
            self.new()
            self.asked.clear()
            answer.headers["etag"] = '"f"'
            self.begin(half(end=ConnectionError()), answer)
            self.reactor.advance(60)
            self.assertEqual(self.consumer.told, ["run_again"])
            self.assertEqual(len(self.asked), 2)

    def test_a_fresh_url(self) -> None:
        job = self.begin(half(end=ConnectionError()), Answer(403))
        self.reactor.advance(60)
        self.assertEqual(self.outcomes(), [("url_expired", "HTTP 403 Forbidden")])
        self.answers = [rest()]
        fresh = make_job("https://h/f?fresh", job.key, sha256=SHA256)
        self.through.start(fresh)
        self.assertEqual(self.asked[-1][0], "https://h/f?fresh")
        self.assertEqual(self.consumer.told, [f"conclude {len(CONTENT)}"])
        self.assertEqual(self.consumer.written, CONTENT)

    def test_a_fresh_url_that_comes_too_late(self) -> None:
        """The hook has ended: it is offered again, and the machine knows that it is."""
        job = self.begin(Answer(403))
        self.through.cancel_stream(self.consumer)
        self.heard.events.clear()
        self.through.start(job)
        self.assertEqual(self.outcomes(), [("stream_ready",)])


class FailureTests(Bench):
    def test_another_file(self) -> None:
        """The hook is gone before the job ends."""
        self.begin(whole(), sha256="0" * 64)
        self.assertEqual(self.consumer.told, [f"fail {len(CONTENT) - HELD_BACK}"])
        self.assertEqual(self.outcomes(), [])
        self.consumer.gone.callback(None)
        problem = f"sha256: expected {'0' * 64}, got {SHA256}"
        failed = ("download_failed", State.VERIFICATION_FAILED, problem)
        self.assertEqual(self.outcomes(), [failed])

    def test_another_sha512(self) -> None:
        self.begin(whole(), sha512="0" * 128)
        self.assertEqual(self.consumer.told, [f"fail {len(CONTENT) - HELD_BACK}"])

    def test_another_size(self) -> None:
        self.begin(whole(), size=7)
        self.assertEqual(self.consumer.told, ["fail 0"])

    def test_it_is_gone(self) -> None:
        self.begin(Answer(404))
        self.consumer.gone.callback(None)
        failed = ("download_failed", State.DOWNLOAD_FAILED, "HTTP 404 Not Found")
        self.assertEqual(self.outcomes(), [failed])

    def test_a_stop_is_silent(self) -> None:
        self.begin(Answer(404))
        self.through.stop()
        self.consumer.gone.callback(None)
        self.assertEqual(self.outcomes(), [])

    def test_a_hook_that_ends(self) -> None:
        self.begin(half(end=None))
        self.through.cancel_stream(FakeStreamConsumer())
        self.assertIsNotNone(self.through._stream)
        self.through.cancel_stream(self.consumer)
        self.assertEqual((self.closed, self.outcomes()), (1, []))

    def test_a_hook_that_ends_while_the_pipe_is_full(self) -> None:
        self.consumer.room = Deferred()
        self.begin(whole())
        self.through.cancel_stream(self.consumer)
        self.consumer.room.callback(None)
        self.assertEqual((self.consumer.told, self.outcomes()), ([], []))

    def test_a_hook_that_ends_while_bytes_are_hashed(self) -> None:
        """They must not be the first that the next run reads: the consumer is the same."""
        self.reactor.pool.held = []
        self.begin(half(end=None))
        self.release()
        self.reactor.advance(FLUSH_DELAY)
        self.assertEqual(len(self.reactor.pool.held), 1)
        self.through.cancel_stream(self.consumer)
        self.through.stream(self.job(), self.consumer)
        self.release()
        self.assertEqual(self.consumer.written, b"")

    def release(self) -> None:
        """Let the threads do what waits for them."""
        held, self.reactor.pool.held = self.reactor.pool.held, []
        for work in held or ():
            work()

    def test_after_the_end_nothing_begins(self) -> None:
        self.through.shut_down()
        self.through.start(self.job())
        self.begin(whole())
        self.assertEqual((self.asked, self.outcomes()), ([], []))
