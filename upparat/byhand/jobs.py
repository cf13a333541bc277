"""The ``Jobs`` port with two sources: AWS, and people at the device.

An install by hand is an execution like any other. Its document comes from the device, and its
reports go nowhere but into a file. So the machine, the record, the gate and the logs serve it as
they serve a job. One of both is in hand at a time, and the other waits.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from twisted.logger import Logger

from upparat.job import (
    LOCAL,
    ExecutionKey,
    JobExecution,
    JobExecutionSummary,
    Report,
    State,
    Status,
)
from upparat.ports import Jobs, JobsEvents
from upparat.snapshots import Wait, WaitKind

from .spool import InstallSpool, unfinished


class LocalEnds(Protocol):
    """Remembers how an execution has ended, until nothing of it is left to do."""

    def add(self, execution: JobExecution, report: Report) -> None: ...
    def remove(self, key: ExecutionKey) -> None: ...


class InstallJobs:
    """Stands between the machine and AWS.

    :param jobs: AWS; this is the listener of its events.
    :param ends: the record.
    :param occupied: returns the execution in hand, or the one that the agent has to go on with.
    """

    log = Logger()
    events: JobsEvents

    def __init__(
        self,
        jobs: Jobs,
        spool: InstallSpool,
        ends: LocalEnds,
        occupied: Callable[[], ExecutionKey | None],
    ) -> None:
        self._jobs = jobs
        self._spool = spool
        self._ends = ends
        self._occupied = occupied
        self._install: JobExecution | None = None
        self._ended: ExecutionKey | None = None
        self._left = False  # the order of an install that is over is still on the disk
        self._listing = False
        self._describing: str | None = None

    def load(self, remembered: ExecutionKey | None) -> None:
        """Take up the install that an earlier agent has left.

        :param remembered: the execution that the record names.
        """
        found = self._spool.load()
        self._install = unfinished(found, remembered)
        if found is not None and self._install is None:
            self._forget()

    # --- for people ---

    def in_hand_id(self) -> str | None:
        """Return the id of the install that is not over.

        It is over when its cleanup hook has ended. Only then its order leaves the disk. An order
        that took its place before would leave with it.
        """
        if self._install is not None:
            return self._install.job_id
        return self._ended.job_id if self._ended is not None else None

    def begin(self, install: JobExecution) -> None:
        """Take an install; the machine begins it when nothing else is in hand.

        :raises OSError: if it cannot be stored.
        """
        self._spool.save(install)
        self._install, self._left = install, False
        self.events.changed()
        self._break_off_description()

    def wait(self) -> Wait | None:
        """Return what the install waits for; ``None`` if there is none, or it is in hand."""
        install, other = self._install, self._occupied()
        if install is None or other == install.key:
            return None
        why = f"job {other.job_id} is over" if other else "the agent is ready"
        return Wait(WaitKind.OTHER_JOB, f"{install.job_id} waits until {why}")

    # --- Jobs ---

    def fetch(self) -> None:
        if self._left:
            self._forget()
        self._settle()
        self._listing = True
        key = self._occupied()
        if self._is_next or (key is not None and key.local):
            self._answer_list()
        else:
            self._jobs.fetch()

    def describe(self, job_id: str) -> None:
        install = self._install
        if install is not None and install.job_id == job_id:
            self.events.described(install)
        elif job_id.startswith(LOCAL):
            self.events.describe_failed(job_id, True)
        elif self._is_next:
            self.events.describe_failed(job_id, False)
        else:
            self._describing = job_id
            self._jobs.describe(job_id)

    def follow(self, execution: JobExecution) -> None:
        if not execution.key.local:
            self._jobs.follow(execution)

    def unfollow(self) -> None:
        self._jobs.unfollow()

    def report(self, execution: JobExecution, report: Report) -> None:
        if not execution.key.local:
            self._jobs.report(execution, report)
        elif report.status.ended:
            self._end(execution, report)
        else:
            self._note(execution, report)
            self.events.delivered(report.state)

    # --- JobsEvents of AWS ---

    def changed(self) -> None:
        self.events.changed()

    def pending(
        self,
        in_progress: Sequence[JobExecutionSummary],
        queued: Sequence[JobExecutionSummary],
    ) -> None:
        if self._listing:
            self._listing = False
            self.events.pending(in_progress, queued)

    def described(self, execution: JobExecution) -> None:
        if execution.job_id == self._describing:
            self._describing = None
            self.events.described(execution)
            self._offer()

    def describe_failed(self, job_id: str, ended: bool) -> None:
        if job_id == self._describing:
            self._describing = None
            self.events.describe_failed(job_id, ended)
            self._offer()

    def delivered(self, state: State) -> None:
        self.events.delivered(state)

    def undeliverable(self, state: State) -> None:
        self.events.undeliverable(state)

    def cancelled(self) -> None:
        self.events.cancelled()

    # --- the install ---

    @property
    def _is_next(self) -> bool:
        """Whether the machine may begin the install, or has to go on with it."""
        return self._install is not None and self._occupied() in (None, self._install.key)

    def _answer_list(self) -> None:
        """Offer the install. AWS is not asked meanwhile: without a network it would not answer."""
        self._listing = False
        install = self._install
        listed = [JobExecutionSummary(install.key, install.status)] if install else []
        begun = install is not None and install.status is Status.IN_PROGRESS
        self.events.pending(*((listed, []) if begun else ([], listed)))

    def _offer(self) -> None:
        """Have the list fetched again: a description may have shown that the job is over which the
        agent remembered, and the list of AWS did not name the install."""
        if self._is_next:
            self.events.changed()

    def _break_off_description(self) -> None:
        """Do not let the install wait for a description: without a network none comes."""
        job_id = self._describing
        if job_id is not None and self._is_next:
            self._describing = None
            self.events.describe_failed(job_id, False)

    def _note(self, execution: JobExecution, report: Report) -> None:
        install = replace(execution, status=Status.IN_PROGRESS, details=report.details)
        self._install = install
        if not report.state.progress:
            self._save(install)

    def _end(self, execution: JobExecution, report: Report) -> None:
        """The record and the file keep the end until nothing of it is left to do."""
        self._ends.add(execution, report)
        self._save(replace(execution, status=report.status, details=report.details))
        self._install, self._ended = None, execution.key

    def _settle(self) -> None:
        key, self._ended = self._ended, None
        if key is not None:
            self._ends.remove(key)
            self._forget()

    def _save(self, install: JobExecution) -> None:
        try:
            self._spool.save(install)
        except OSError as error:
            self.log.error(
                "{job_id}: how far it is cannot be written: {error}",
                job_id=install.job_id,
                error=str(error),
            )

    def _forget(self) -> None:
        try:
            self._spool.remove()
            self._left = False
        except OSError as error:
            self._left = True
            self.log.error("The last install cannot be removed: {error}", error=str(error))


def _is_port(jobs: InstallJobs) -> Jobs:
    return jobs


def _is_listener(jobs: InstallJobs) -> JobsEvents:
    return jobs
