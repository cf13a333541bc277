"""The upload of a log: what the end of an execution waits for, and what goes on behind it."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.joblog.bench import A, B
from upparat.config.settings import LogUpload
from upparat.job import ExecutionKey, JobExecution, Report, State, Status
from upparat.joblog.outcome import UploadFailed
from upparat.joblog.pending import PendingUpload
from upparat.joblog.uploader import (
    ATTEMPT_TIMEOUT,
    MAX_ATTEMPTS,
    RESUME,
    RETRY,
    LogUploader,
    UploadMemory,
)

OLD, FRESH = "https://h/old?secret", "https://h/fresh?secret"
FAILED, DONE = Report(State.DOWNLOAD_FAILED, "404"), Report(State.COMPLETE_READY)
REJECTED = Report(State.INVALID_JOB_DOCUMENT)
TIMEOUT = 10.0


def execution(url: object = OLD, key: ExecutionKey = A) -> JobExecution:
    document = None if url is None else {"log_url": url}
    return JobExecution(key, Status.IN_PROGRESS, 1, document=document)


class FakeMemory:
    """Remembers uploads, and how many were written."""

    def __init__(self) -> None:
        self.uploads: dict[ExecutionKey, PendingUpload] = {}
        self.saved: list[PendingUpload] = []

    def all(self) -> list[PendingUpload]:
        return list(self.uploads.values())

    def find(self, key: ExecutionKey) -> PendingUpload | None:
        return self.uploads.get(key)

    def save(self, pending: PendingUpload) -> None:
        self.uploads[pending.key] = pending
        self.saved.append(pending)

    def remove(self, key: ExecutionKey) -> None:
        self.uploads.pop(key, None)


def _is_a_memory(memory: FakeMemory) -> UploadMemory:
    return memory


class UploaderTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.memory = FakeMemory()
        self.contents = {A: b"log of a\n", B: b"log of b\n"}
        self.puts: list[tuple[str, bytes, Deferred[int]]] = []
        self.asked: list[Deferred[JobExecution | None]] = []
        self.canceller: Any = None
        self.uploader = self.make()
        self.events: list[LogEvent] = []
        note: Any = self.events.append
        globalLogPublisher.addObserver(note)
        self.addCleanup(globalLogPublisher.removeObserver, note)

    def make(self, policy: LogUpload = LogUpload.FAILED, timeout: float = TIMEOUT) -> LogUploader:
        self.uploader = LogUploader(
            self.clock,
            self,
            self.memory,
            self.put,
            self.renew,
            policy=policy,
            timeout=timeout,
            allow_http=False,
            random=lambda: 1.0,
        )
        return self.uploader

    def tearDown(self) -> None:
        self.uploader.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertNotIn("secret", "".join(map(formatEvent, self.events)))

    # --- the collaborators ---

    def content(self, key: ExecutionKey) -> bytes:
        return self.contents.get(key, b"")

    def put(self, url: str, content: bytes) -> Deferred[int]:
        answer: Deferred[int] = Deferred(self.canceller)
        self.puts.append((url, content, answer))
        return answer

    def renew(self, key: ExecutionKey) -> Deferred[JobExecution | None]:
        asked: Deferred[JobExecution | None] = Deferred()
        self.asked.append(asked)
        return asked

    # --- for the tests ---

    def end(self, execution: JobExecution, report: Report = FAILED) -> Deferred[None]:
        return self.uploader.before_end(execution, report)

    def begin(self, url: object = OLD, fresh: object = FRESH) -> Deferred[None]:
        """End an execution, and answer with a fresh URL."""
        ended = self.end(execution(url))
        self.asked.pop().callback(execution(fresh) if fresh else None)
        return ended

    def answer(self, status: int) -> str:
        """Answer the only request, and return its URL."""
        url, content, answer = self.puts.pop()
        self.assertEqual((self.puts, content), ([], b"log of a\n"))
        answer.callback(status)
        return url

    def logged(self) -> list[str]:
        return [formatEvent(event) for event in self.events]


class PolicyTests(UploaderTestCase):
    def begins(self, execution: JobExecution, report: Report) -> bool:
        ended = self.end(execution, report)
        begun, self.asked[:] = bool(self.asked), []
        self.assertEqual(ended.called, not begun)
        self.uploader.stop()
        return begun

    def test_policies(self) -> None:
        for policy, failed, rejected, done in (
            (LogUpload.FAILED, True, True, False),
            (LogUpload.ALWAYS, True, True, True),
            (LogUpload.NEVER, False, False, False),
        ):
            for report, begins in ((FAILED, failed), (REJECTED, rejected), (DONE, done)):
                self.make(policy)
                self.assertIs(self.begins(execution(), report), begins, (policy, report))

    def test_without_a_url_nobody_is_asked(self) -> None:
        self.assertFalse(self.begins(JobExecution(A, Status.IN_PROGRESS, 1, document={}), FAILED))
        self.assertEqual(self.logged(), [])

    def test_a_wrong_url_is_logged_and_ignored(self) -> None:
        self.assertFalse(self.begins(execution("${aws:iot:secret}"), FAILED))
        problem = "log_url: holds a placeholder that was not replaced"
        self.assertEqual(self.logged(), [f"a: the log is not uploaded: {problem}"])

    def test_not_after_the_stop(self) -> None:
        self.uploader.stop()
        self.assertFalse(self.begins(execution(), FAILED))


class BeforeTheEndTests(UploaderTestCase):
    def test_an_upload(self) -> None:
        ended = self.begin()
        self.assertEqual(self.memory.all(), [PendingUpload(A, FRESH, 1)])
        self.assertNoResult(ended)
        self.assertEqual(self.answer(200), FRESH)
        self.successResultOf(ended)
        self.assertEqual(self.memory.all(), [])
        self.assertEqual(self.logged(), ["a: the log is uploaded"])

    def test_the_url_at_hand_if_aws_does_not_answer(self) -> None:
        ended = self.end(execution())
        self.clock.advance(TIMEOUT / 2)
        self.assertEqual(self.answer(200), OLD)
        self.successResultOf(ended)

    def test_the_url_at_hand_if_there_is_no_other(self) -> None:
        self.begin(fresh=None)
        self.assertEqual(self.answer(200), OLD)

    def test_a_fresh_one_that_is_wrong(self) -> None:
        self.successResultOf(self.begin(fresh="ftp://h/"))
        self.assertEqual(self.puts, [])

    def test_the_end_waits_no_longer_than_the_time_out(self) -> None:
        ended = self.begin()
        self.clock.advance(TIMEOUT - 0.1)
        self.assertNoResult(ended)
        self.clock.advance(0.1)
        self.successResultOf(ended)
        self.answer(200)
        self.assertEqual(self.memory.all(), [])

    def test_it_waits_for_aws_and_the_server_together(self) -> None:
        ended = self.end(execution())
        self.clock.pump([TIMEOUT / 2, TIMEOUT / 2])
        self.successResultOf(ended)
        self.answer(200)

    def test_without_a_time_out_it_does_not_wait(self) -> None:
        self.make(timeout=0)
        ended = self.end(execution())
        self.clock.advance(0)
        self.successResultOf(ended)
        self.assertEqual(self.answer(200), OLD)

    def test_it_does_not_wait_for_another_attempt(self) -> None:
        ended = self.begin()
        self.answer(503)
        self.successResultOf(ended)
        self.assertEqual(len(self.memory.all()), 1)

    def test_a_refusal(self) -> None:
        for status in (400, 403, 404):
            self.make()
            ended = self.begin()
            self.answer(status)
            self.successResultOf(ended)
            self.assertEqual(self.memory.all(), [])
            self.assertIn(f"HTTP {status}; it is given up", self.logged()[-1])

    def test_no_log(self) -> None:
        self.contents.clear()
        self.successResultOf(self.begin())
        self.assertEqual((self.puts, self.memory.all()), ([], []))

    def test_the_report_is_dropped_meanwhile(self) -> None:
        ended = self.begin()
        ended.cancel()
        self.failureResultOf(ended, CancelledError)
        self.answer(200)
        self.assertEqual(self.memory.all(), [])

    def test_a_second_chance_uploads_nothing_again(self) -> None:
        self.begin()
        self.answer(200)
        self.successResultOf(self.end(execution()))
        self.assertEqual(self.asked, [])

    def test_two_executions(self) -> None:
        first, second = self.end(execution()), self.end(execution(key=B))
        for asked, key in zip(self.asked, (A, B), strict=True):
            asked.callback(execution(FRESH, key))
        (*_, one), (*_, two) = self.puts
        two.callback(200)
        self.assertNoResult(first)
        self.successResultOf(second)
        one.callback(200)
        self.successResultOf(first)

    def test_a_fault_of_the_agent_does_not_hold_up_the_end(self) -> None:
        def broken(*_: object) -> Any:
            raise RuntimeError("broken")

        for name in ("_put", "_renew", "_url"):
            self.make()
            self.patch(self.uploader, name, broken)
            ended = self.end(execution())
            for asked in self.asked:
                asked.callback(None)
            self.asked.clear()
            self.successResultOf(ended)
            self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)


class AfterTheEndTests(UploaderTestCase):
    """Others have ended the execution."""

    def test_the_url_at_hand(self) -> None:
        self.uploader.after_end(execution())
        self.asked.pop().callback(None)
        self.assertEqual(self.memory.all(), [PendingUpload(A, OLD, 1)])
        self.assertEqual(self.answer(200), OLD)
        self.assertEqual(self.memory.all(), [])

    def test_policies(self) -> None:
        for policy, begins in (
            (LogUpload.FAILED, True),
            (LogUpload.ALWAYS, True),
            (LogUpload.NEVER, False),
        ):
            self.make(policy).after_end(execution())
            self.assertIs(bool(self.asked), begins, policy)
            self.asked.clear()
            self.uploader.stop()

    def test_without_a_url(self) -> None:
        self.uploader.after_end(JobExecution(A, Status.IN_PROGRESS, 1, document={}))
        self.assertEqual(self.asked, [])

    def test_not_twice(self) -> None:
        self.begin()
        self.answer(200)
        self.uploader.after_end(execution())
        self.assertEqual(self.asked, [])


class BackgroundTests(UploaderTestCase):
    def fail_put(self) -> None:
        self.puts.pop()[2].errback(UploadFailed("no route"))

    def test_again_later(self) -> None:
        self.begin()
        self.fail_put()
        self.assertIn("no route; again later", self.logged()[-1])
        self.clock.advance(RETRY.ceiling(1) - 1)
        self.assertEqual(self.puts, [])
        self.contents[A] = b"longer"
        self.clock.advance(1)
        url, content, answer = self.puts.pop()
        self.assertEqual((url, content), (FRESH, b"longer"))
        answer.callback(200)
        self.assertEqual(self.memory.all(), [])

    def test_the_number_of_attempts_is_limited(self) -> None:
        self.begin()
        for attempt in range(1, MAX_ATTEMPTS + 1):
            self.assertEqual(self.memory.all(), [PendingUpload(A, FRESH, attempt)])
            self.fail_put()
            self.clock.advance(RETRY.ceiling(attempt))
        self.assertEqual((self.puts, self.memory.all()), ([], []))
        self.assertIn("it is given up", self.logged()[-1])

    def test_a_server_that_hangs(self) -> None:
        self.begin()
        self.clock.advance(TIMEOUT)
        self.clock.advance(ATTEMPT_TIMEOUT)
        self.assertIn("no answer for 120 s; again later", self.logged()[-1])
        self.puts.pop()
        self.clock.advance(RETRY.ceiling(1))
        self.answer(200)

    def test_a_client_with_words_of_its_own_for_a_time_out(self) -> None:
        self.canceller = lambda answer: answer.errback(UploadFailed("aborted"))
        self.begin()
        self.clock.advance(ATTEMPT_TIMEOUT)
        self.assertIn("no answer for 120 s", self.logged()[-1])

    def test_the_url_expires_meanwhile(self) -> None:
        self.begin()
        self.fail_put()
        self.clock.advance(RETRY.ceiling(1))
        self.answer(403)
        self.assertEqual(self.memory.all(), [])


class RestartTests(UploaderTestCase):
    def test_a_stop_lets_the_report_go(self) -> None:
        ended = self.begin()
        self.uploader.stop()
        self.successResultOf(ended)
        self.assertEqual(self.memory.all(), [PendingUpload(A, FRESH, 1)])

    def test_a_stop_while_aws_is_asked(self) -> None:
        ended = self.end(execution())
        self.uploader.stop()
        self.successResultOf(ended)
        self.assertEqual(self.memory.all(), [])

    def test_a_client_with_words_of_its_own_for_a_stop(self) -> None:
        self.canceller = lambda answer: answer.errback(UploadFailed("aborted"))
        self.begin()
        self.uploader.stop()
        self.assertEqual(len(self.memory.all()), 1)
        self.assertEqual(self.logged(), [])

    def test_the_next_agent_goes_on_counting(self) -> None:
        self.memory.save(PendingUpload(A, OLD, 2))
        self.make().start()
        self.clock.advance(RESUME - 1)
        self.assertEqual(self.puts, [])
        self.clock.advance(1)
        self.assertEqual(self.memory.all(), [PendingUpload(A, OLD, 3)])
        self.assertEqual(self.answer(200), OLD)
        self.assertEqual(self.memory.all(), [])

    def test_the_owner_wants_no_upload_any_more(self) -> None:
        self.memory.save(PendingUpload(A, OLD, 2))
        self.make(LogUpload.NEVER).start()
        self.clock.advance(RETRY.cap)
        self.assertEqual((self.puts, self.memory.all()), ([], []))

    def test_the_last_attempt_was_cut_short(self) -> None:
        self.memory.save(PendingUpload(A, OLD, MAX_ATTEMPTS))
        self.make().start()
        self.clock.advance(RETRY.cap)
        self.assertEqual((self.puts, self.memory.all()), ([], []))

    def test_an_end_that_an_earlier_agent_could_not_report(self) -> None:
        """There is no document; AWS gives a fresh one, because the execution has not ended."""
        self.begin(url=None)
        self.assertEqual(self.answer(200), FRESH)

    def test_it_has_no_log_url(self) -> None:
        ended = self.end(execution(None))
        self.asked.pop().callback(execution(None))
        self.successResultOf(ended)
        self.assertEqual(self.memory.saved, [])

    def test_such_an_end_while_aws_does_not_answer(self) -> None:
        self.memory.save(PendingUpload(A, OLD, 2))
        ended = self.end(execution(None))
        self.uploader.start()
        self.clock.advance(TIMEOUT / 2)
        self.assertEqual(self.memory.all(), [PendingUpload(A, OLD, 3)])
        self.assertEqual(self.answer(200), OLD)
        self.successResultOf(ended)
        self.clock.advance(RETRY.cap)
        self.assertEqual(self.puts, [])

    def test_an_end_whose_upload_is_tried_in_the_background(self) -> None:
        self.memory.save(PendingUpload(A, OLD, 2))
        self.uploader.start()
        self.successResultOf(self.end(execution(None)))
        self.assertEqual(self.asked, [])
