"""The data of the machine: its core, the data of its states, and its inputs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Protocol

from twisted.logger import Logger

from upparat.job import (
    Downgrades,
    ExecutionKey,
    Hook,
    Job,
    JobExecution,
    JobExecutionSummary,
    Report,
    State,
    Status,
)
from upparat.ports import (
    DownloadEvents,
    Downloads,
    Gate,
    GateEvents,
    HookEvents,
    Hooks,
    Jobs,
    JobsEvents,
    JobStep,
    Memory,
    Record,
    Rollback,
    Timer,
    TimerEvents,
)
from upparat.snapshots import EndedJob, JobSnapshot, Wait, WaitKind

FULL_LIST = 10
"""Executions that AWS lists at once; with a schedule up to 15. The API has no second page for
devices."""

OTHERS = "ended_by_others"
"""The state of a job that others have ended; the agent reports nothing then."""

BY_OTHERS = "others have ended the job"

_REMEMBERED = 64
"""The number of ended executions that the machine remembers; AWS lists 15 at the most."""


@dataclass(frozen=True)
class Policy:
    """The owner's settings that the machine decides by; times are in seconds.

    :ivar agent: the agent's own version, for the reports.
    """

    hooks: frozenset[Hook] = frozenset()
    retry_interval: float = 60.0
    restart_grace: float = 10.0
    restart_timeout: float = 300.0
    restart_attempts: int = 3
    job_id_prefix: str = ""
    allow_downgrade: Downgrades = Downgrades.YES
    agent: str = ""


@dataclass(frozen=True)
class Pause:
    """The meaning of the timer that runs.

    :ivar limit: the time of the timer's clock at which the machine gives up, in seconds.
    """

    kind: WaitKind
    why: str
    limit: float | None = None


@dataclass
class Core:
    """The ports, the policy, and the data that outlives a single job.

    :ivar gate: holds steps back; without one each step begins at once.
    :ivar memory: the device's memory of an update in hand; ``None`` once it is used up.
    :ivar job: the job that the agent works on.
    :ivar replaced: the version that ran before it; empty if it is not known.
    :ivar pause: the meaning of the timer, if it runs.
    :ivar on_ended: called when a job is over, whoever has ended it; must not raise.
    :ivar on_left: called when nothing more is done for a job that others have ended, but for the
        cleanup hook; must not raise.
    :ivar not_ours: listed executions that are somebody else's.
    :ivar ended: executions that the agent has ended; AWS may still list them for a moment.
    :ivar crowded_out: the list was full of executions that are not ours, and the log says so.
    """

    jobs: Jobs
    downloads: Downloads
    hooks: Hooks
    timer: Timer
    record: Record
    policy: Policy
    gate: Gate | None = None
    memory: Memory | None = None
    job: Job | None = None
    replaced: str = ""
    pause: Pause | None = None
    on_ended: Callable[[EndedJob], None] = lambda job: None
    on_left: Callable[[JobExecution], None] = lambda execution: None
    not_ours: set[ExecutionKey] = field(default_factory=set)
    ended: deque[ExecutionKey] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    crowded_out: bool = False
    log: Logger = field(default_factory=lambda: Logger(namespace="upparat.machine"))

    @property
    def in_hand(self) -> ExecutionKey | None:
        """The execution that the agent works on."""
        return self.job.key if self.job is not None else None

    def snapshot(self) -> JobSnapshot | None:
        """Return the job in hand."""
        job = self.job
        return JobSnapshot(job.key, job.version, job.force, job.size) if job is not None else None

    def wait_for(self, pause: Pause, seconds: float) -> None:
        """Start the timer for a reason."""
        self.pause = pause
        self.timer.start(seconds)

    def wait(self, remaining: float | None) -> Wait | None:
        """Return what the timer waits for.

        :param remaining: the seconds that the timer still runs; ``None`` if it does not run.
        """
        pause = self.pause
        if remaining is None or pause is None:
            return None
        limit = None if pause.limit is None else max(0.0, pause.limit - self.timer.now())
        return Wait(pause.kind, pause.why, remaining, limit)


# --- the data of the states -------------------------------------------------------------------


@dataclass
class Selection:
    """A look at the pending executions, one after the other.

    :ivar left: not described yet; those in progress first.
    :ivar in_progress: described, ours, and in progress.
    :ivar outdated: the list has changed meanwhile.
    :ivar full: the list has no room for more executions.
    """

    left: list[JobExecutionSummary]
    full: bool = field(default=False, kw_only=True)
    in_progress: list[JobExecution] = field(default_factory=list)
    outdated: bool = False

    @property
    def next(self) -> JobExecutionSummary | None:
        """The execution to describe next; queued ones only while none of ours is in progress."""
        if not self.left or (self.in_progress and self.left[0].status is Status.QUEUED):
            return None
        return self.left[0]


@dataclass
class Work:
    """A job in hand: the data of every state from ``verify_job`` on."""

    job: Job


@dataclass
class Fetching(Work):
    """A job whose file is on its way.

    :ivar url_requests: requests for a fresh URL in a row that AWS has not answered.
    """

    url_requests: int = field(default=0, kw_only=True)


@dataclass
class Downloading(Fetching):
    """A job whose file is downloaded; ``running`` once the download hook has allowed it."""

    running: bool = False


@dataclass
class Artifact(Fetching):
    """A job and its file: complete and verified, or streamed to the install hook.

    :ivar path: of the file, or :data:`upparat.ports.STREAM`.
    :ivar renewing: the URL has expired, and AWS was asked for a fresh one.
    """

    path: str
    renewing: bool = False


@dataclass
class HeldJob(Work):
    """A job whose next step has to wait.

    :ivar path: of the file for the install hook; empty if it has to be looked at again.
    :ivar known: the status details that AWS has, as far as the agent knows.
    :ivar restarting: the restart was announced before: the wait is not reported, because
        ``reboot_start`` has to stay the last report.
    """

    step: JobStep
    path: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    restarting: bool = False


class Restart(Enum):
    """How far the restart had got when its result is checked."""

    LIVED_THROUGH = "the restart hook exited with 0, and the agent still runs"
    DONE = "the agent was started anew after the restart hook had exited with 0"
    CUT_SHORT = "the device went down in the restart hook: by it, or by a power cut"
    UNFINISHED = "the agent died in the restart hook, or the device just before it"
    NEVER_BEGUN = "the agent died before the restart hook, and the device stayed up"
    WAITING = "the restart hook had asked to be run again later"


@dataclass
class Aftermath:
    """The rest of the work for an execution that others have ended.

    :ivar job: the job, if it is known well enough for the owner's hooks.
    :ivar undo: its installation is to be taken back.
    :ivar rollback: how far that has got, if it was begun.
    :ivar restarting: its restart hook may have been at work: the device may go down.
    :ivar settled: that hook has ended, and the device has been given time to go down.
    :ivar told: the end that an earlier agent has told, if it was the agent that has ended it.
    """

    key: ExecutionKey
    restarting: bool
    job: Job | None = None
    undo: bool = False
    rollback: Rollback | None = None
    settled: bool = False
    told: EndedJob | None = None


@dataclass
class Check(Work):
    """An installation to verify.

    :ivar restart: how far the restart had got.
    :ivar until: a version that does not match may still change up to this time of the timer's
        clock, in seconds.
    :ivar verified: the success to report if the version still matches: an earlier agent has seen it
        in this boot, and could not deliver its report.
    :ivar settled: the device may be going down up to this time of the timer's clock, in seconds.
    :ivar doubted: an earlier agent has seen the success, and its report was not delivered. So a
        version hook that fails is asked again up to this time of the timer's clock, in seconds.
    """

    restart: Restart
    until: float
    verified: State | None = None
    settled: float = 0.0
    doubted: float = 0.0


@dataclass
class Undoing(Work):
    """A failed installation that is taken back.

    :ivar unheard: nothing remembers it before AWS has accepted ``rollback_start``: its hook waits.
    :ivar until: the version may still change up to this time of the timer's clock, in seconds.
    """

    rollback: Rollback
    until: float = 0.0
    unheard: bool = False


# --- inputs -----------------------------------------------------------------------------------


class Inputs(JobsEvents, DownloadEvents, HookEvents, GateEvents, TimerEvents, Protocol):
    """Every input of the machine."""

    def start(self, memory: Memory | None) -> None:
        """Begin, with the device's memory of an update in hand."""

    def stop(self) -> None:
        """The agent is stopped: begin nothing new. The service shuts the ports down."""

    def _look(self) -> None:
        """Describe the next execution of the selection, or decide."""

    def _fetch(self) -> None:
        """Ask for the pending executions again."""

    def _wait(self) -> None:
        """There is nothing to do."""

    def _select(self, selection: Selection) -> None:
        """Look for our job among these."""

    def _verify(self, job: Job) -> None:
        """This job is ours to work on."""

    def _download(self, job: Job) -> None:
        """Its file is needed."""

    def _hold(self, held: HeldJob) -> None:
        """The next step has to wait."""

    def _install(self, artifact: Artifact) -> None:
        """The file is here."""

    def _restart(self, job: Job) -> None:
        """It is installed."""

    def _check(self, check: Check) -> None:
        """The restart is behind us."""

    def _finish(self, report: Report) -> None:
        """The job ends with this report."""

    def _abandon(self, aftermath: Aftermath) -> None:
        """Nothing more is done for this execution."""

    def _clean_up(self) -> None:
        """Nothing of the job runs any more."""

    def _roll_back(self, job: Job, rollback: Rollback) -> None:
        """The installation is taken back."""

    def _tidied(self) -> None:
        """The job is over, and the owner's hooks know it."""
