"""What people decide: they approve a step, defer a job, pause the agent, and let it go on."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection

from twisted.logger import Logger

from upparat.job import ExecutionKey
from upparat.ports import JobStep

from .gate import PolicyGate

LONGEST = 604_800.0
"""Seconds that a deferral or a pause may last: a week. A device that is forgotten goes on."""


class Approvals:
    """Takes decisions of the users who may decide. Each is in the log, with who has made it.

    Each method returns one line on what holds now. It raises ``PermissionError`` if the user may
    not decide, ``LookupError`` if the job is not in hand, and ``ValueError`` if the decision makes
    no sense.

    :param users: the ids of the users who may decide, beside root and the agent's own.
    :param in_hand: returns the execution that the agent works on.
    """

    log = Logger()

    def __init__(
        self,
        gate: PolicyGate,
        users: Collection[int],
        in_hand: Callable[[], ExecutionKey | None],
    ) -> None:
        self._gate = gate
        self._users = users
        self._in_hand = in_hand

    def approve(self, step: str | None, job_id: str | None, uid: int, pid: int) -> str:
        """Let a step begin; without a step, the one that waits. A deferral of the job ends."""
        self.admit(uid)
        key = self._key(job_id)
        chosen = self._gate.waiting if step is None else JobStep(step)
        if chosen is None:
            raise ValueError(f"no step of job {key.job_id} waits: name the step")
        ledger = self._gate.ledger
        ledger.turn_to(key)
        ledger.grant(chosen)
        if ledger.standing.deferred:
            ledger.defer(0)
        return self._done(f"{chosen} is approved", uid, pid, key)

    def defer(self, job_id: str | None, seconds: float, uid: int, pid: int) -> str:
        """Begin no step of the job for so long."""
        self.admit(uid)
        key = self._key(job_id)
        _limit(seconds)
        ledger = self._gate.ledger
        ledger.turn_to(key)
        ledger.defer(seconds)
        return self._done(f"the job is deferred for {seconds:g} s", uid, pid, key)

    def pause(self, seconds: float | None, uid: int, pid: int) -> str:
        """Begin no step of any job for so long; without a time, for a week."""
        self.admit(uid)
        length = LONGEST if seconds is None else seconds
        _limit(length)
        self._gate.ledger.pause(length)
        return self._done(f"the agent is paused for {length:g} s", uid, pid)

    def resume(self, uid: int, pid: int) -> str:
        """End a pause."""
        self.admit(uid)
        self._gate.ledger.pause(0)
        return self._done("the agent is not paused", uid, pid)

    def admit(self, uid: int) -> None:
        """:raises PermissionError: if the user may not decide."""
        if uid not in (0, os.geteuid(), *self._users):
            raise PermissionError(f"user {uid} may not decide: see [policy] users")

    def _key(self, job_id: str | None) -> ExecutionKey:
        key = self._in_hand()
        if key is None:
            raise LookupError("the agent has no job in hand")
        if job_id not in (None, key.job_id):
            raise LookupError(f"job {job_id} is not in hand; job {key.job_id} is")
        return key

    def _done(self, what: str, uid: int, pid: int, key: ExecutionKey | None = None) -> str:
        """Log a decision, and act by it."""
        line = f"{key.job_id}: {what}" if key else what
        execution = {"execution": key} if key else {}
        self.log.info(
            "{line}, by user {uid}, process {pid}", line=line, uid=uid, pid=pid, **execution
        )
        self._gate.look()
        return line


def _limit(seconds: float) -> None:
    if not 0 < seconds <= LONGEST:
        raise ValueError("a deferral or a pause lasts more than 0 s and at most 7 d")
