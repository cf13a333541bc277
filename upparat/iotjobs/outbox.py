"""The updates that AWS has not accepted yet, in order, one under way at a time.

An update carries the version that we believe the execution to have. AWS answers a wrong belief
with the truth, and repeats of an update that did arrive show up in the same way.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from upparat.job import ExecutionKey, JobExecution, Report, State

from .requests import Requests, Response
from .wire import ExecutionState, Topics, execution_state

CONFUSION = 5
"""After so many version mismatches for one update it is sent without an expected version."""

AGAIN = 2.0
"""Seconds until an update is repeated for which AWS did not find the execution: its copies are
only eventually consistent."""

AT_LENGTH = 300.0
"""Seconds until an update is repeated that AWS calls wrong although we see nothing wrong in it."""

REFUSALS = 12
"""So often an update is called wrong until it is given up, lest it hold up every later job."""


class Ledger(Protocol):
    """Remembers the reports that end an execution until AWS has them."""

    def owe(self, execution: JobExecution, report: Report) -> None:
        """This report has to be delivered, whatever happens."""

    def settle(self, key: ExecutionKey) -> None:
        """The report on this execution is delivered, or nobody wants it any more."""


@dataclass
class _Update:
    execution: JobExecution
    report: Report
    bare: bool = False
    mismatches: int = 0
    unknown: int = 0
    refusals: int = 0


class Outbox:
    """Delivers reports.

    ``delivered(key, report)`` is told of each report that AWS has, ``over(key)`` when AWS says that
    the execution has ended otherwise or does not exist, and ``emptied()`` when nothing is left.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        requests: Requests,
        topics: Topics,
        progress_interval: float,
        ledger: Ledger | None = None,
    ) -> None:
        self._clock = clock
        self._requests = requests
        self._topics = topics
        self._interval = progress_interval
        self._ledger = ledger
        self._queue: deque[_Update] = deque()
        self._current: _Update | None = None
        self._timer: IDelayedCall | None = None
        self._next_progress = 0.0
        self._versions: dict[ExecutionKey, int] = {}
        self.delivered: Callable[[ExecutionKey, Report], None] = lambda key, report: None
        self.over: Callable[[ExecutionKey], None] = lambda key: None
        self.emptied: Callable[[], None] = lambda: None

    @property
    def empty(self) -> bool:
        return not self._queue and self._current is None

    def add(self, execution: JobExecution, report: Report) -> None:
        """Report on an execution; progress that still waits gives way to newer progress."""
        if report.state.progress and self._queue:
            last = self._queue[-1]
            if last.report.state is report.state and last.execution.key == execution.key:
                self._queue.pop()
        if self._ledger is not None and report.status.ended:
            self._ledger.owe(execution, report)
        self._queue.append(_Update(execution, report))
        self._pump()

    def learn(self, execution: JobExecution) -> None:
        """A describe has told the version; an older answer must not take it back."""
        known = self._versions.get(execution.key, 0)
        self._versions[execution.key] = max(known, execution.version_number)

    def close(self) -> None:
        """Stop for good; what was not delivered is lost."""
        self._queue.clear()
        self._current = None
        self._cancel_timer()

    # --- sending ---

    def _pump(self) -> None:
        """Send the first update; progress waits for its time unless more waits behind it."""
        if self._current is not None or not self._queue:
            return
        update = self._queue[0]
        wait = self._next_progress - self._clock.seconds()
        if update.report.state.progress and len(self._queue) == 1 and wait > 0:
            self._later(wait, self._pump)
            return
        self._current = self._queue.popleft()
        self._send()

    def _send(self) -> None:
        update = self._current
        if update is None:
            return
        self._cancel_timer()
        if update.report.state.progress:
            self._next_progress = self._clock.seconds() + self._interval
        topic = self._topics.update(update.execution.job_id)
        self._requests.send(topic, self._payload(update), self._answered)

    def _payload(self, update: _Update) -> dict[str, object]:
        payload: dict[str, object] = {
            "status": update.report.status.value,
            "includeJobExecutionState": True,
        }
        if not update.bare:
            payload["statusDetails"] = update.report.details
        if number := update.execution.key.number:
            payload["executionNumber"] = number
        if (version := self._version(update)) and update.mismatches < CONFUSION:
            payload["expectedVersion"] = version
        return payload

    def _version(self, update: _Update) -> int:
        return self._versions.get(update.execution.key, update.execution.version_number)

    # --- answers ---

    def _answered(self, answer: Response) -> None:
        update = self._current
        if update is None:
            return
        state = execution_state(answer.payload)
        if answer.accepted:
            new_version = state.version_number if state else self._version(update) + 1
            self._versions[update.execution.key] = new_version
            self._delivered(update)
        else:
            self._rejected(update, answer, state)

    def _rejected(self, update: _Update, answer: Response, state: ExecutionState | None) -> None:
        self.log.info(
            "{job_id}: {state} was refused: {code}",
            job_id=update.execution.job_id,
            state=update.report.state.value,
            code=answer.code,
        )
        if state is not None:
            self._learn_state(update, state, answer.code)
        elif answer.code in ("ResourceNotFound", "InvalidStateTransition", "TerminalStateReached"):
            self._unknown(update)
        elif answer.code == "InvalidRequest" and not update.bare:
            update.bare = True
            self._send()
        elif answer.code == "VersionMismatch" and update.mismatches < CONFUSION:
            update.mismatches = CONFUSION  # what it should be was not said: send it without any
            self._send()
        else:
            self._wrong(update, answer.code)

    def _learn_state(self, update: _Update, state: ExecutionState, code: str) -> None:
        """AWS has told what is there: our own report, an end, or a version that we did not know."""
        self._versions[update.execution.key] = state.version_number
        if state.status == update.report.status and state.details == update.report.details:
            self._delivered(update)
        elif state.status.ended:
            self._over(update, state.status.value)
        elif update.mismatches > CONFUSION:
            self._wrong(update, code)
        else:
            update.mismatches += 1
            self._send()

    def _unknown(self, update: _Update) -> None:
        """Ask once more: deletions are only eventually consistent, and so are creations."""
        update.unknown += 1
        if update.unknown > 1:
            self._over(update, "gone")
        else:
            self._later(AGAIN, self._send)

    def _wrong(self, update: _Update, code: str) -> None:
        """AWS calls the request itself wrong, which only a fault of ours or theirs explains.

        The announcement of the restart is never given up: without it nothing may follow.
        """
        self.log.error(
            "{job_id}: AWS refuses the report {state} as {code}",
            job_id=update.execution.job_id,
            state=update.report.state.value,
            code=code,
        )
        update.refusals += 1
        if update.report.state.progress:
            self._done()
        elif update.refusals < REFUSALS or update.report.state is State.REBOOT_START:
            self._later(AT_LENGTH, self._send)
        else:
            self._give_up(update)

    def _give_up(self, update: _Update) -> None:
        self.log.critical(
            "{job_id}: AWS will never know of {state} ({status}): {message}",
            job_id=update.execution.job_id,
            state=update.report.state.value,
            status=update.report.status.value,
            message=update.report.details["message"],
        )
        if update.report.status.ended:
            self._settle(update.execution.key)
        self._done()

    def _delivered(self, update: _Update) -> None:
        if update.report.status.ended:
            self._settle(update.execution.key)
        self._done(lambda: self.delivered(update.execution.key, update.report))

    def _over(self, update: _Update, how: str) -> None:
        key = update.execution.key
        self.log.warn("{job_id}: the execution is over in AWS: {how}", job_id=key.job_id, how=how)
        self._queue = deque(each for each in self._queue if each.execution.key != key)
        self._versions.pop(key, None)
        self._settle(key)
        self._done(lambda: self.over(key))

    def _settle(self, key: ExecutionKey) -> None:
        if self._ledger is not None:
            self._ledger.settle(key)

    def _done(self, tell: Callable[[], None] = lambda: None) -> None:
        """The current update is dealt with. Its teller may add the next one."""
        ended = self._current
        self._current = None
        if ended is not None and ended.report.status.ended:
            self._versions.pop(ended.execution.key, None)
        tell()
        self._pump()
        if self.empty:
            self.emptied()

    # --- timer ---

    def _later(self, seconds: float, what: Callable[[], None]) -> None:
        self._cancel_timer()
        self._timer = self._clock.callLater(seconds, what)

    def _cancel_timer(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._timer = None
