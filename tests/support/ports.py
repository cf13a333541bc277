"""Fakes of the machine's ports that append each effect to one shared list."""

from __future__ import annotations

from typing import Any

from upparat.job import ExecutionKey, Hook, Job, JobExecution, Report, Status
from upparat.machine import Core, Inputs, Policy, make_machine
from upparat.ports import (
    Downloads,
    Ending,
    Gate,
    Hooks,
    Installation,
    Jobs,
    JobStep,
    Record,
    Rollback,
    Timer,
)

Call = tuple[Any, ...]

ALL_HOOKS = frozenset(Hook)
USUAL_HOOKS = ALL_HOOKS - {Hook.CHECK, Hook.ROLLBACK, Hook.CLEANUP}


class FakeJobs:
    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.facts: dict[str, str] = {}
        self.expected = 0

    def fetch(self) -> None:
        self.calls.append(("fetch",))

    def describe(self, job_id: str) -> None:
        self.calls.append(("describe", job_id))

    def follow(self, execution: JobExecution) -> None:
        self.calls.append(("follow", execution.job_id))

    def unfollow(self) -> None:
        self.calls.append(("unfollow",))

    def report(self, execution: JobExecution, report: Report) -> None:
        self.calls.append(("report", execution.job_id, report.state.value, report.message))
        self.facts = dict(report.facts)
        self.expected = execution.version_number


class FakeDownloads:
    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def start(self, job: Job) -> None:
        self.calls.append(("download", job.job_id, job.file))

    def stop(self) -> None:
        self.calls.append(("stop download",))

    def discard(self, key: ExecutionKey) -> None:
        self.calls.append(("discard", key.job_id))


class FakeHooks:
    lingering = False

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls

    def run(self, hook: Hook, job: Job, file: str = "", reason: str = "") -> None:
        self.calls.append(("run", hook.value, job.job_id, *filter(None, [file, reason])))

    def restart_lingers(self) -> bool:
        return self.lingering

    def forget_restart(self) -> None:
        self.lingering = False

    def release(self) -> None:
        self.calls.append(("release",))


class FakeGate:
    """Holds the steps in ``closed``."""

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.closed: set[JobStep] = set()
        self.waited: JobStep | None = None

    def holds(self, step: JobStep, job: Job) -> bool:
        return step in self.closed

    def wait(self, step: JobStep, job: Job) -> None:
        self.calls.append(("wait", step.value, job.job_id))

    def leave(self) -> None:
        self.calls.append(("leave gate",))

    def last_wait(self, key: ExecutionKey) -> JobStep | None:
        return self.waited


class FakeTimer:
    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.time = 1000.0

    def start(self, seconds: float) -> None:
        self.calls.append(("timer", seconds))

    def cancel(self) -> None:
        self.calls.append(("cancel timer",))

    def now(self) -> float:
        return self.time


class FakeRecord:
    writable = True

    def __init__(self, calls: list[Call]) -> None:
        self.calls = calls
        self.installation: Installation | None = None
        self.rollback: Rollback | None = None
        self.ending: Ending | None = None
        self.gone: ExecutionKey | None = None
        self.begun: dict[ExecutionKey, str] = {}

    def working(self, key: ExecutionKey) -> None:
        self.calls.append(("record working", key.job_id))

    def restarting(self, key: ExecutionKey) -> bool:
        self.calls.append(("record restarting", key.job_id))
        return self.writable

    def restarted(self, key: ExecutionKey) -> None:
        self.calls.append(("record restarted", key.job_id))

    def rolling_back(self, key: ExecutionKey, rollback: Rollback) -> bool:
        self.rollback = rollback
        return self.writable

    def cleaning(self, ending: Ending) -> None:
        self.calls.append(("record cleaning", ending.job.job_id))

    def uncleaned(self) -> Ending | None:
        return self.ending

    def clear(self) -> None:
        self.calls.append(("clear record",))

    def catch_up(self) -> None:
        pass

    def note_replaced(self, version: str) -> None:
        self.replaced = version

    def unconfirmed(self, version: str) -> Installation | None:
        known = self.installation is not None and self.installation.version == version
        return self.installation if known else None

    @property
    def kept(self) -> bool:
        return self.writable

    def installs(self, key: ExecutionKey) -> str:
        return self.begun.get(key, "")

    def note_left(self, key: ExecutionKey) -> None:
        self.calls.append(("record left", key.job_id))

    def displaced(self, key: ExecutionKey) -> bool:
        return key == self.gone

    def note_installation(self, installation: Installation) -> None:
        if installation != self.installation:
            self.calls.append(("installation", installation.stage.value))
        self.installation = installation

    def confirm(self, version: str) -> None:
        if self.unconfirmed(version):
            self.calls.append(("installation", None))
            self.installation = None


def _are_ports(
    jobs: FakeJobs, downloads: FakeDownloads, hooks: FakeHooks, timer: FakeTimer, record: FakeRecord
) -> tuple[Jobs, Downloads, Hooks, Timer, Record]:
    return jobs, downloads, hooks, timer, record


def _is_gate(gate: FakeGate) -> Gate:
    return gate


class Bench:
    """A machine on fakes: ``calls`` are the effects since the last :meth:`taken`."""

    def __init__(self, hooks: frozenset[Hook] = USUAL_HOOKS, **policy: Any) -> None:
        self.calls: list[Call] = []
        self.moves: list[str] = []
        self.timer = FakeTimer(self.calls)
        self.record = FakeRecord(self.calls)
        self.hooks = FakeHooks(self.calls)
        self.jobs = FakeJobs(self.calls)
        self.gate = FakeGate(self.calls)
        self.core = Core(
            jobs=self.jobs,
            downloads=FakeDownloads(self.calls),
            hooks=self.hooks,
            timer=self.timer,
            record=self.record,
            gate=self.gate,
            policy=Policy(hooks=hooks, **policy),
        )
        self.machine: Inputs = make_machine(self.core, self._moved)
        self.state = "idle"

    def _moved(self, old: str, name: str, new: str) -> None:
        assert old == self.state
        self.state = new
        self.moves.append(new)

    def taken(self) -> list[Call]:
        taken, self.calls[:] = list(self.calls), []
        return taken


def key(job_id: str = "a", number: int = 1, queued_at: int = 100) -> ExecutionKey:
    return ExecutionKey(job_id, number, queued_at)


def execution(
    job_id: str = "a",
    status: Status = Status.QUEUED,
    state: str = "",
    queued_at: int = 100,
    **document: Any,
) -> JobExecution:
    """An execution of ours; keywords change the document, ``None`` removes a key."""
    full = {"action": "upparat-update", "version": "2.0", "file": "https://s3/f?secret", **document}
    return JobExecution(
        key=key(job_id, queued_at=queued_at),
        status=status,
        version_number=1,
        details={"state": state} if state else {},
        document={name: value for name, value in full.items() if value is not None},
    )
