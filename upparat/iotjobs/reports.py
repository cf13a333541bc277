"""The queue of reports that AWS has not accepted yet: in order, one under way at a time.

Two layers repeat a report. :class:`~.requests.Requests` sends one request until AWS responds to it.
:class:`ReportQueue` looks at the response, and may make another request for the same report. Every
such request starts again at the first row of the table.

=========================  ==================================================  ====================
What happens               What is sent next                                   How often
=========================  ==================================================  ====================
**Requests**
-------------------------  --------------------------------------------------  --------------------
no connection              the same request, when connected                    always
no response                the same, after 10 s, doubled up to 120 s (±25 %)   always; every 8
                                                                               attempts on another
                                                                               connection
throttled, internal error  the same, after 1 s + a random part of 2 s,         always
                           doubled up to 64 s
unreadable response        as if there was no response                         up to 3 attempts,
                                                                               then rejected
**ReportQueue**
-------------------------  --------------------------------------------------  --------------------
rejected with the state    the report with AWS's version, at once              5 times, then twice
of a live execution                                                            without a version
version mismatch, no       the report without a version, at once               once
state
not found                  the same report after 2 s                           once, then the
                                                                               execution is over
invalid request            the report with plainer details, at once: in        3 times
                           ASCII, the state alone, none
session lost, the end of   the same, if AWS still has the same execution       always
an execution of which AWS
knows nothing yet
rejected otherwise         the same report after 300 s                         12 requests (about
                                                                               an hour); progress
                                                                               and renewals not at
                                                                               all
=========================  ==================================================  ====================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from typing import Protocol

from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.job import ExecutionKey, JobExecution, Report, Status
from upparat.oneshot import OneShot
from upparat.text import ascii_value

from .requests import SESSION_LOST, Requests, Response
from .steps import Steps
from .wire import ExecutionState, Malformed, Topics, execution_state
from .wire import execution as parse

MAX_VERSION_MISMATCHES = 5
"""Version mismatches of one report after which it is sent without an expected version."""

NOT_FOUND_RETRY_INTERVAL = 2.0
"""Seconds until an execution that AWS did not find is asked for again; AWS's copies are only
eventually consistent."""

REJECTED_RETRY_INTERVAL = 300.0
"""Seconds until a request is repeated that AWS rejected for a reason without a rule of its own."""

MAX_REJECTIONS = 12
"""Such rejections of one report until it is given up, because all later reports wait for it."""

NAMED = 16
"""Executions that AWS has named last and that are remembered."""

SECOND_CHANCE = 6 * 3600.0
"""Seconds until a report that ends an execution, and was given up, is sent once more."""

_NOT_FOUND = frozenset({"ResourceNotFound", "InvalidStateTransition", "TerminalStateReached"})
"""Codes that, without a state of the execution, mean that it has ended or does not exist."""


_MADE_ANEW = "deleted, and its job was created anew"

_PLAINER = (("state", "message"), ("state",), ())
"""Details that are left, one step after the other, when AWS refuses a report for its details."""


BeforeEnd = Callable[[JobExecution, Report], Deferred[None]]
"""Does something before the end of an execution is reported. The Deferred never fails."""


def at_once(execution: JobExecution, report: Report) -> Deferred[None]:
    """A :data:`BeforeEnd` that does nothing."""
    return succeed(None)


class UndeliveredReports(Protocol):
    """Remembers the reports that end an execution until AWS has accepted them."""

    def add(self, execution: JobExecution, report: Report) -> None:
        """Remember this report; it must be delivered, even after a restart."""

    def remove(self, key: ExecutionKey) -> None:
        """Forget the report on this execution: AWS has it, or it is given up."""


class ReportListener(Protocol):
    """Receives what becomes of the reports."""

    def report_delivered(self, key: ExecutionKey, report: Report) -> None:
        """AWS has accepted this report."""

    def execution_over(self, key: ExecutionKey) -> None:
        """The execution was ended by others, or does not exist; its reports are dropped."""

    def report_given_up(self, key: ExecutionKey, report: Report) -> None:
        """AWS does not accept this report."""

    def reports_done(self) -> None:
        """The queue is empty."""


class _Outcome(Enum):
    """How the delivery of one report ends."""

    DELIVERED = auto()
    EXECUTION_OVER = auto()
    GIVEN_UP = auto()


@dataclass(frozen=True)
class _SendAgain:
    """Send the report once more, after ``delay`` seconds."""

    delay: float = 0.0


@dataclass
class _QueuedReport:
    """A report, and what AWS has said about it so far.

    :ivar details: the status details as they are sent; empty to send none.
    :ivar plainer: details to send if AWS rejects these: a character or a value may be the reason.
    :ivar renewal: AWS has accepted the report before, and this one only sets its timer anew. The
        listener does not hear of it.
    :ivar mismatches: rejections with the state of a live execution.
    """

    execution: JobExecution
    report: Report
    renewal: bool = False
    details: dict[str, str] = field(init=False)
    plainer: list[dict[str, str]] = field(init=False)
    mismatches: int = 0
    not_found: int = 0
    rejections: int = 0

    def __post_init__(self) -> None:
        self.details = self.report.details
        ascii_only = {name: ascii_value(value) for name, value in self.details.items()}
        steps = [ascii_only, *({name: ascii_only[name] for name in kept} for kept in _PLAINER)]
        before = [self.details, *steps]
        self.plainer = [now for was, now in zip(before, steps, strict=False) if now != was]


class ReportQueue:
    """Delivers reports.

    A report carries the version that we expect the execution to have. If AWS has another version,
    it rejects the report with the state of the execution. So it does with a report that arrived
    although its response was lost.

    :param progress_interval: least seconds between two reports of progress.
    :param before_end: the first report that ends an execution is sent when its Deferred fires. The
        report is in ``undelivered`` by then.
    :param steps: minutes of AWS's step timer that a report of progress sets; ``None`` to set none.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        requests: Requests,
        topics: Topics,
        progress_interval: float,
        listener: ReportListener,
        undelivered: UndeliveredReports,
        before_end: BeforeEnd = at_once,
        steps: Steps | None = None,
    ) -> None:
        self._clock = clock
        self._before_end = before_end
        self._steps = steps
        self._requests = requests
        self._topics = topics
        self._interval = progress_interval
        self._listener = listener
        self._undelivered = undelivered
        self._queue: deque[_QueuedReport] = deque()
        self._delivery: Deferred[_Outcome] | None = None
        self._current: _QueuedReport | None = None
        self._progress_delay = OneShot(clock)
        self._next_progress = 0.0
        self._versions: dict[ExecutionKey, int] = {}
        self._named: dict[ExecutionKey, int] = {}
        self._given_up: list[_QueuedReport] = []
        self._second_chance = OneShot(clock)

    @property
    def empty(self) -> bool:
        return not self._queue and self._delivery is None

    def add(self, execution: JobExecution, report: Report) -> None:
        """Report on an execution; newer progress replaces progress that still waits."""
        if report.state.progress and self._queue:
            last = self._queue[-1]
            if last.report.state is report.state and last.execution.key == execution.key:
                self._queue.pop()
        if report.status.ended:
            # A later agent must not take another execution for this one: see `_replaced`.
            known = replace(execution, version_number=self._version(execution))
            self._undelivered.add(known, report)
        self._queue.append(_QueuedReport(execution, report))
        self._send_next()

    def renew(self, execution: JobExecution, report: Report) -> None:
        """Repeat a report that AWS has accepted, unless another one on the execution is to come."""
        waiting = [each.execution.key for each in self._queue]
        current = self._current.execution.key if self._current else None
        if execution.key not in (current, *waiting):
            self._queue.append(_QueuedReport(execution, report, renewal=True))
            self._send_next()

    def note_named(self, key: ExecutionKey) -> None:
        """AWS has just named this execution."""
        self._named.pop(key, None)
        self._named[key] = self._requests.session
        if len(self._named) > NAMED:
            del self._named[next(iter(self._named))]

    def learn_version(self, execution: JobExecution) -> None:
        """Take the version from a description, unless a higher one is known already."""
        known = self._versions.get(execution.key, 0)
        self._versions[execution.key] = max(known, execution.version_number)

    def drop(self, key: ExecutionKey) -> None:
        """Drop the reports on an execution that others have ended."""
        self._forget(key)
        if self._current is not None and self._current.execution.key == key:
            self._stop_delivery()
            self._send_next()
            if self.empty:
                self._listener.reports_done()

    def close(self) -> None:
        """Drop all reports; those that end an execution stay in ``undelivered``."""
        self._queue.clear()
        self._progress_delay.cancel()
        self._second_chance.cancel()
        self._stop_delivery()

    def _forget(self, key: ExecutionKey) -> None:
        self._queue = deque(each for each in self._queue if each.execution.key != key)
        self._given_up = [each for each in self._given_up if each.execution.key != key]

    def _stop_delivery(self) -> None:
        delivery, self._delivery, self._current = self._delivery, None, None
        if delivery is not None:
            delivery.cancel()

    # --- sending ---

    def _send_next(self) -> None:
        """Send the first report. Progress waits for its interval unless more waits behind it."""
        if self._delivery is not None or not self._queue:
            return
        wait = self._next_progress - self._clock.seconds()
        if self._queue[0].report.state.progress and len(self._queue) == 1 and wait > 0:
            self._progress_delay.start(wait, self._send_next)
            return
        self._progress_delay.cancel()
        queued = self._current = self._queue.popleft()
        delivery = self._delivery = Deferred.fromCoroutine(self._deliver(queued))
        # What follows a delivery runs outside of its coroutine, which could not cancel itself.
        ended = delivery.addCallbacks(
            self._delivery_ended, self._delivery_failed, callbackArgs=(queued,)
        )
        ended.addErrback(self._broken)

    async def _deliver(self, queued: _QueuedReport) -> _Outcome:
        topic = self._topics.update(queued.execution.job_id)
        if queued.report.status.ended:
            await self._before_end(queued.execution, queued.report)
        while True:
            if queued.report.state.progress:
                self._next_progress = self._clock.seconds() + self._interval
            first = queued.report.status.ended and self._version(queued.execution) <= 1
            if first and self._is_stale(queued) and await self._is_gone(queued):
                return self._over(queued, _MADE_ANEW)
            payload = self._payload(queued)
            response = await self._requests.send(topic, payload, one_session=first)
            if response.code == SESSION_LOST:
                continue
            verdict = self._interpret(queued, response)
            if isinstance(verdict, _Outcome):
                return verdict
            if verdict.delay:
                await deferLater(self._clock, verdict.delay)

    def _is_stale(self, queued: _QueuedReport) -> bool:
        """Whether AWS may have another execution by now: it has not named this one in this
        session."""
        session = self._requests.session
        return not session or self._named.get(queued.execution.key) != session

    async def _is_gone(self, queued: _QueuedReport) -> bool:
        """Ask whether AWS has another execution in place of this one, which was not begun: both
        have the same number and the same version. Only the time when it was queued differs."""
        execution = queued.execution
        payload = {"includeJobDocument": False}
        response = await self._requests.send(self._topics.describe(execution.job_id), payload)
        self.note_named(execution.key)
        try:
            found = parse(response.payload, execution.job_id) if response.accepted else None
        except Malformed:
            return False
        return found is not None and found.key != execution.key

    def _payload(self, queued: _QueuedReport) -> dict[str, object]:
        payload: dict[str, object] = {
            "status": queued.report.status.value,
            "includeJobExecutionState": True,
        }
        if queued.details:
            payload["statusDetails"] = queued.details
        if number := queued.execution.key.number:
            payload["executionNumber"] = number
        version = self._version(queued.execution)
        if version and queued.mismatches < MAX_VERSION_MISMATCHES:
            payload["expectedVersion"] = version
        if self._steps is not None and queued.report.status is Status.IN_PROGRESS:
            payload["stepTimeoutInMinutes"] = self._steps(queued.report.state)
        return payload

    def _version(self, execution: JobExecution) -> int:
        return self._versions.get(execution.key, execution.version_number)

    # --- responses ---

    def _interpret(self, queued: _QueuedReport, response: Response) -> _Outcome | _SendAgain:
        execution, code = queued.execution, response.code
        state = execution_state(response.payload)
        if response.accepted:
            new = state.version_number if state else self._version(execution) + 1
            self._versions[execution.key] = new
            return _Outcome.DELIVERED
        self.log.info(
            "{job_id}: {state} was refused: {code}",
            job_id=execution.job_id,
            state=queued.report.state.value,
            code=code,
        )
        if state is not None:
            return self._compare(queued, state, code)
        if code in _NOT_FOUND:
            return self._not_found(queued)
        if code == "InvalidRequest" and queued.plainer:
            queued.details = queued.plainer.pop(0)
            return _SendAgain()
        if code == "VersionMismatch" and queued.mismatches < MAX_VERSION_MISMATCHES:
            queued.mismatches = MAX_VERSION_MISMATCHES  # AWS has not said which version it has
            return _SendAgain()
        return self._rejected(queued, code)

    def _compare(
        self, queued: _QueuedReport, state: ExecutionState, code: str
    ) -> _Outcome | _SendAgain:
        """Look at the state of the execution, which AWS has sent with a rejection."""
        if self._replaced(queued.execution, state):
            return self._over(queued, _MADE_ANEW)
        self._versions[queued.execution.key] = state.version_number
        if state.status == queued.report.status and state.details == queued.details:
            return _Outcome.DELIVERED
        if state.status.ended:
            return self._over(queued, state.status.value)
        if queued.mismatches > MAX_VERSION_MISMATCHES:
            return self._rejected(queued, code)
        queued.mismatches += 1
        return _SendAgain()

    def _replaced(self, execution: JobExecution, state: ExecutionState) -> bool:
        """Whether AWS speaks of another execution with the same job id and number: one that has
        begun is never queued again, and its version only goes up."""
        return state.status is Status.QUEUED and state.version_number < self._version(execution)

    def _not_found(self, queued: _QueuedReport) -> _Outcome | _SendAgain:
        """Ask once more, because deletions and creations are only eventually consistent."""
        queued.not_found += 1
        if queued.not_found > 1:
            return self._over(queued, "gone")
        return _SendAgain(NOT_FOUND_RETRY_INTERVAL)

    def _over(self, queued: _QueuedReport, how: str) -> _Outcome:
        job_id = queued.execution.job_id
        self.log.warn("{job_id}: the execution is over in AWS: {how}", job_id=job_id, how=how)
        return _Outcome.EXECUTION_OVER

    def _rejected(self, queued: _QueuedReport, code: str) -> _Outcome | _SendAgain:
        """AWS rejected the report for another reason, which is a fault of AWS or of the agent."""
        state = queued.report.state
        self.log.error(
            "{job_id}: AWS refuses the report {state} as {code}",
            job_id=queued.execution.job_id,
            state=state.value,
            code=code,
        )
        queued.rejections += 1
        if state.progress or queued.renewal:
            return _Outcome.GIVEN_UP
        if queued.rejections < MAX_REJECTIONS:
            return _SendAgain(REJECTED_RETRY_INTERVAL)
        self.log.critical(
            "{job_id}: AWS does not know of {state} ({status}): {message}",
            job_id=queued.execution.job_id,
            state=state.value,
            status=queued.report.status.value,
            message=queued.report.details["message"],
        )
        return _Outcome.GIVEN_UP

    # --- the end of a delivery ---

    def _delivery_ended(self, outcome: _Outcome, queued: _QueuedReport) -> None:
        """Report the outcome, and send the next report; the listener may add reports meanwhile."""
        key = queued.execution.key
        self._delivery = self._current = None
        if outcome is _Outcome.EXECUTION_OVER:
            self._forget(key)
        if outcome is _Outcome.GIVEN_UP and queued.report.status.ended:
            self._postpone(queued)
        elif outcome is _Outcome.EXECUTION_OVER or queued.report.status.ended:
            self._versions.pop(key, None)
            self._undelivered.remove(key)
        if outcome is _Outcome.EXECUTION_OVER:
            self._listener.execution_over(key)
        elif not queued.renewal:
            self._tell(outcome, key, queued.report)
        self._send_next()
        if self.empty:
            self._listener.reports_done()

    def _tell(self, outcome: _Outcome, key: ExecutionKey, report: Report) -> None:
        if outcome is _Outcome.DELIVERED:
            self._listener.report_delivered(key, report)
        else:
            self._listener.report_given_up(key, report)

    def _postpone(self, queued: _QueuedReport) -> None:
        """Let the other reports pass. Without this one the execution would stay in progress."""
        self._given_up.append(queued)
        if not self._second_chance.running:
            self._second_chance.start(SECOND_CHANCE, self._send_given_up)

    def _send_given_up(self) -> None:
        self._queue.extend(self._given_up)
        self._given_up.clear()
        self._send_next()

    def _delivery_failed(self, failure: Failure) -> None:
        failure.trap(CancelledError)  # by `drop` or `close`

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The delivery of a report has raised", failure)
