"""The upload of logs: one attempt before the end is reported, more of them in the background.

=====================================  ==========================================================
What happens                           What follows
=====================================  ==========================================================
accepted (2xx)                         done
no response, 5xx, 408, 425, 429        again, after a random wait of up to 30 s, doubled up to
                                       16 minutes; at most 8 attempts in all
any other status                       given up: a URL that was refused once is refused again
``log_upload_timeout`` is over         the end is reported; the attempt goes on
the agent is stopped, or dies          the next agent goes on counting
=====================================  ==========================================================
"""

from __future__ import annotations

import random as _random
from collections import deque
from collections.abc import Callable, Coroutine
from dataclasses import replace
from typing import Any, NoReturn, Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.backoff import Backoff
from upparat.config.settings import LogUpload
from upparat.job import ExecutionKey, JobExecution, Report, Status

from .outcome import UploadFailed, UploadOutcome, interpret_status
from .pending import PendingUpload
from .url import upload_url

ATTEMPT_TIMEOUT = 120.0
"""Seconds that one attempt may take: 256 KiB at 20 kbit/s."""

MAX_ATTEMPTS = 8
"""Attempts at one upload. They take about 40 minutes; AWS signs URLs for an hour at the most."""

RETRY = Backoff(base=30.0, cap=960.0)

RESUME = 10.0
"""Seconds, at most, until a new agent goes on: its device may have started just now."""

_REMEMBERED = 64
"""Executions that are not uploaded twice, if AWS has refused their end for hours."""


class LogContents(Protocol):
    """The logs, by execution."""

    def content(self, key: ExecutionKey) -> bytes:
        """The log of an execution; empty if there is none."""


class UploadMemory(Protocol):
    """The uploads that are still to come, over restarts of the agent."""

    def all(self) -> list[PendingUpload]: ...
    def find(self, key: ExecutionKey) -> PendingUpload | None: ...
    def save(self, pending: PendingUpload) -> None: ...
    def remove(self, key: ExecutionKey) -> None: ...


class LogUploader:
    """Uploads logs. Nothing that goes wrong here changes the outcome of a job.

    :param put: uploads a content to a URL; its Deferred fires with the HTTP status, or fails with
        :class:`UploadFailed`.
    :param renew: asks AWS for an execution as it is now, with a fresh URL; fires with ``None`` if
        it is not to be had.
    :param timeout: seconds that the end of an execution may wait.
    :param random: returns a number from 0 up to 1, for the jitter of the waits.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        logs: LogContents,
        pending: UploadMemory,
        put: Callable[[str, bytes], Deferred[int]],
        renew: Callable[[ExecutionKey], Deferred[JobExecution | None]],
        *,
        policy: LogUpload,
        timeout: float,
        allow_http: bool,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._clock = clock
        self._logs = logs
        self._pending = pending
        self._put = put
        self._renew = renew
        self._policy = policy
        self._timeout = timeout
        self._allow_http = allow_http
        self._random = random
        self._running: dict[ExecutionKey, Deferred[None]] = {}
        self._waiting: dict[ExecutionKey, Deferred[None]] = {}
        self._begun: deque[ExecutionKey] = deque(maxlen=_REMEMBERED)
        self._closed = False

    def start(self) -> None:
        """Go on with what an earlier agent has left, unless the owner wants no upload any more."""
        for pending in self._pending.all():
            if self._policy is LogUpload.NEVER:
                self._pending.remove(pending.key)
            elif pending.key not in self._begun:
                self._run(pending.key, self._resume(pending))

    def stop(self) -> None:
        """Drop the connections, and let the reports go. The next agent goes on."""
        self._closed = True
        for running in list(self._running.values()):
            running.cancel()

    def before_end(self, execution: JobExecution, report: Report) -> Deferred[None]:
        """Begin the upload for an execution that is about to end.

        Fires when the first attempt is over, within the time-out; it fails only if it is cancelled.
        The upload goes on in the background then.
        """
        succeeded = report.status is Status.SUCCEEDED
        return self._begin(execution) if self._wants(execution, succeeded) else succeed(None)

    def after_end(self, execution: JobExecution) -> None:
        """Begin the upload for an execution that others have ended, in the background."""
        if self._wants(execution, succeeded=False):
            self._run(execution.key, self._upload(execution))

    def _begin(self, execution: JobExecution) -> Deferred[None]:
        key = execution.key
        waiting = self._waiting[key] = Deferred()
        self._run(key, self._upload(execution))
        return waiting.addTimeout(self._timeout, self._clock, lambda *_: None)

    def _wants(self, execution: JobExecution, succeeded: bool) -> bool:
        """Whether the log is to be uploaded, as far as that is known. An execution that an earlier
        agent has ended has no document here."""
        if self._closed or execution.key in self._begun or self._policy is LogUpload.NEVER:
            return False
        if self._policy is LogUpload.FAILED and succeeded:
            return False
        try:
            return execution.document is None or bool(self._url(execution))
        except Exception:  # the report must go out, whatever a document holds
            self.log.failure("{job_id}: the log is not uploaded", job_id=execution.job_id)
            return False

    def _url(self, execution: JobExecution) -> str:
        try:
            return upload_url(execution, allow_http=self._allow_http)
        except ValueError as problem:
            self.log.warn(
                "{job_id}: the log is not uploaded: {problem}",
                job_id=execution.job_id,
                problem=str(problem),
                execution=execution.key,
            )
            return ""

    # --- one upload ---

    def _run(self, key: ExecutionKey, work: Coroutine[Deferred[Any], Any, None]) -> None:
        self._begun.append(key)
        running = self._running[key] = Deferred.fromCoroutine(work)
        running.addErrback(lambda failure: failure.trap(CancelledError) and None)
        running.addErrback(self._broken)
        running.addBoth(lambda _: self._ended(key))

    def _ended(self, key: ExecutionKey) -> None:
        self._running.pop(key, None)
        self._release(key)

    def _release(self, key: ExecutionKey) -> None:
        """Let the report of the end go."""
        waiting = self._waiting.pop(key, None)
        if waiting is not None and not waiting.called:
            waiting.callback(None)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The upload of a log has raised", failure)

    async def _upload(self, execution: JobExecution) -> None:
        left = self._pending.find(execution.key)
        url = await self._fresh_url(execution) or (left.url if left else "")
        if url:
            attempts = left.attempts if left else 0
            await self._try(PendingUpload(execution.key, url, attempts))

    async def _fresh_url(self, execution: JobExecution) -> str:
        """Ask for a fresh URL while AWS gives one: the one at hand may be as old as the job, and
        the attempts in the background need it for as long as they last."""
        asked = self._renew(execution.key)
        renewed = await asked.addTimeout(self._timeout / 2, self._clock, lambda *_: None)
        return self._url(renewed or execution)

    async def _resume(self, pending: PendingUpload) -> None:
        await deferLater(self._clock, RESUME * self._random())
        await self._try(pending)

    async def _try(self, pending: PendingUpload) -> None:
        while pending.attempts < MAX_ATTEMPTS:
            pending = replace(pending, attempts=pending.attempts + 1)
            self._pending.save(pending)
            if await self._attempt(pending) is not UploadOutcome.LATER:
                break
            self._release(pending.key)
            if pending.attempts < MAX_ATTEMPTS:
                await self._pause(pending)
        self._pending.remove(pending.key)

    async def _pause(self, pending: PendingUpload) -> None:
        await deferLater(self._clock, RETRY.delay(pending.attempts, self._random))

    async def _attempt(self, pending: PendingUpload) -> UploadOutcome:
        content = self._logs.content(pending.key)
        if not content:
            return UploadOutcome.REFUSED
        try:
            answer = self._put(pending.url, content)
            status = await answer.addTimeout(ATTEMPT_TIMEOUT, self._clock, _too_late)
        except UploadFailed as problem:
            if self._closed:  # an HTTP client that is cancelled may fail in words of its own
                raise CancelledError from None
            return self._told(pending, UploadOutcome.LATER, str(problem))
        return self._told(pending, interpret_status(status), f"HTTP {status}")

    def _told(self, pending: PendingUpload, outcome: UploadOutcome, how: str) -> UploadOutcome:
        job_id = pending.key.job_id
        if outcome is UploadOutcome.DONE:
            self.log.info("{job_id}: the log is uploaded", job_id=job_id, execution=pending.key)
        else:
            last = outcome is UploadOutcome.REFUSED or pending.attempts >= MAX_ATTEMPTS
            self.log.warn(
                "{job_id}: the log is not uploaded: {how}; {next}",
                job_id=job_id,
                how=how,
                next="it is given up" if last else "again later",
                execution=pending.key,
            )
        return outcome


def _too_late(_: object, seconds: float) -> NoReturn:
    raise UploadFailed(f"no answer for {seconds:g} s")
