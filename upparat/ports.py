"""The borders of the machine: the events that it takes, and the effects that it asks for.

Two rules hold for every port. A port does not raise into the machine: a failure comes back as an
event. A port is silent once it was told to stop: no event of the old work follows. Effects return
at once. Their outcome is an event, which may come before the effect returns.

Each port has two Protocols: its effects, and its events. The machine's inputs
(:class:`upparat.machine.Inputs`) are the events of all ports together.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from .job import ExecutionKey, Hook, Job, JobExecution, JobExecutionSummary, Report, State

# --- AWS IoT Jobs -----------------------------------------------------------------------------


class JobsEvents(Protocol):
    """Reports of the jobs client."""

    def changed(self) -> None:
        """The list of pending executions may have changed: fetch it when idle.

        Comes after every (re)connection, every notification, and every few minutes.
        """

    def pending(
        self,
        in_progress: Sequence[JobExecutionSummary],
        queued: Sequence[JobExecutionSummary],
    ) -> None:
        """Answers :meth:`Jobs.fetch`: each list oldest first."""

    def described(self, execution: JobExecution) -> None:
        """Answers :meth:`Jobs.describe`: the execution with its document; it may have ended.

        Of one that has ended, AWS may only tell how. Then there is no document, and the key is
        :meth:`.ExecutionKey.of_job`.
        """

    def describe_failed(self, job_id: str, ended: bool) -> None:
        """Answers :meth:`Jobs.describe`: the execution is not to be had.

        :param ended: true if AWS says that the execution is over or unknown; false if it refuses
            the request, or its answer makes no sense.
        """

    def delivered(self, state: State) -> None:
        """AWS has accepted the report with this state, of the execution that is followed."""

    def undeliverable(self, state: State) -> None:
        """AWS does not accept the report with this state, of the execution that is followed."""

    def cancelled(self) -> None:
        """The execution that is followed is over in AWS, and the agent did not end it."""


class Jobs(Protocol):
    """AWS IoT Jobs. Repeats every request until AWS answers it, over any number of connections."""

    def fetch(self) -> None:
        """Ask for the pending executions, once every report given so far has been dealt with."""

    def describe(self, job_id: str) -> None:
        """Ask for an execution with its document; a pre-signed URL in it is fresh."""

    def follow(self, execution: JobExecution) -> None:
        """Watch this execution: from now on ``cancelled`` reports its end by others."""

    def unfollow(self) -> None:
        """Watch no execution; reports given so far are still delivered."""

    def report(self, execution: JobExecution, report: Report) -> None:
        """Report on an execution, in order. Newer progress may replace older progress.

        A report that ends the execution also ends following it.
        """


# --- downloads --------------------------------------------------------------------------------


STREAM = "-"
"""Stands for the path of a file that the install hook reads from its stdin."""

LOOPBACK = "url"
"""Stands for the path of a file that the install hook fetches itself, from a URL of the agent."""

BY_INSTALLER = "verification: installer"
"""The message of ``installation_start`` then: the agent does not see the file in order."""


class DownloadEvents(Protocol):
    """Reports of a download."""

    def progressed(self, downloaded: int, total: int | None, reused: int = 0) -> None:
        """So many bytes are here, of ``total`` if that is known.

        :param reused: how many of them the device had already, and need not have fetched.
        """

    def downloaded(self, path: str) -> None:
        """The file is complete, verified, and safe on the disk."""

    def stream_ready(self, place: str = STREAM) -> None:
        """Comes instead of ``downloaded``, with ``[hooks] install_stream`` or ``install_url``: run
        the install hook with ``place`` for a file, and it gets the file as it comes.

        :param place: :data:`STREAM` or :data:`LOOPBACK`.

        While it runs, ``progressed`` and ``url_expired`` report on the download. When the file will
        not come, ``download_failed`` reports that, once nothing of the hook runs any more.
        """

    def url_expired(self, reason: str) -> None:
        """The server refuses the URL: call :meth:`Downloads.start` again with a fresh one."""

    def download_failed(self, state: State, message: str) -> None:
        """The download has failed for good; ``state`` says how."""


class Downloads(Protocol):
    """Downloads the file of one job at a time."""

    def start(self, job: Job) -> None:
        """Download the job's file, or continue a partial one.

        A second start for the same execution continues its budget of attempts, and a stream that
        the install hook is reading.
        """

    def stop(self) -> None:
        """Stop; the partial file is kept."""

    def discard(self, key: ExecutionKey) -> None:
        """Remove this execution's files, partial or complete."""


# --- hooks ------------------------------------------------------------------------------------


class HookEvents(Protocol):
    """Reports of one hook, retries included."""

    def version_known(self, version: str) -> None:
        """The version hook's last non-empty line; an empty string if it printed none."""

    def compatible(self) -> None:
        """The check hook exited with 0: the update is for this device."""

    def download_allowed(self) -> None:
        """The download hook exited with 0."""

    def install_output(self, line: str) -> None:
        """The install hook printed a line; it is printable and not empty."""

    def installed(self) -> None:
        """The install hook exited with 0."""

    def restarted(self) -> None:
        """The restart hook exited with 0: the device may be about to go down."""

    def ready(self) -> None:
        """The ready hook exited with 0."""

    def rolled_back(self, restart: bool) -> None:
        """The rollback hook exited with 0.

        :param restart: it asks for the restart hook.
        """

    def cleaned(self) -> None:
        """The cleanup hook exited with 0."""

    def hook_failed(self, hook: Hook, message: str, facts: Mapping[str, str]) -> None:
        """The hook failed, timed out, could not be run, or used up its retries.

        :param facts: what is known of its end, for :attr:`upparat.job.Report.facts`.

        Does not come for an install hook that was ended because its file will not come.
        """

    def released(self) -> None:
        """Answers :meth:`Hooks.release`: no hook runs any more."""


class Hooks(Protocol):
    """Runs the owner's commands, one at a time."""

    def run(self, hook: Hook, job: Job, file: str = "", reason: str = "") -> None:
        """Run a configured hook until it is done or has failed.

        An install, restart or rollback hook first waits for the one that an earlier agent has left
        running.

        :param file: for the install hook: a path, :data:`STREAM` or :data:`LOOPBACK`. For the
            rollback and the cleanup hook: the state that the job has come to.
        :param reason: for these two: why it has.
        """

    def restart_lingers(self) -> bool:
        """Whether a restart hook that an earlier agent has begun still runs."""

    def forget_restart(self) -> None:
        """The job is over: leave a restart hook that still runs alone, and wait for it no more. It
        may have become the application of the device."""

    def release(self) -> None:
        """Let go of the hook: only ``released`` follows, once none runs.

        A running install, restart or rollback hook is left to finish, because a flasher that is
        killed half-way bricks the device (unless ``[hooks] kill_on_cancel`` says otherwise). Other
        hooks are ended. A hook that waits for its next try is not run again.
        """


# --- permissions ------------------------------------------------------------------------------


class JobStep(StrEnum):
    """A part of a job that may have to wait for its time or for somebody's consent."""

    DOWNLOAD = "download"
    INSTALL = "install"
    RESTART = "restart"


class GateEvents(Protocol):
    """Reports on a step that waits at the gate."""

    def held(self, report: Report) -> None:
        """The step waits for what the report says. Comes again when that changes."""

    def permitted(self) -> None:
        """The step may begin."""


class Gate(Protocol):
    """Decides when the steps of a job may begin."""

    def holds(self, step: JobStep, job: Job) -> bool:
        """Whether the step has to wait. If not, it begins now."""

    def wait(self, step: JobStep, job: Job) -> None:
        """Report ``held`` now, and ``permitted`` once the step may begin."""

    def leave(self) -> None:
        """Report nothing more: nobody waits."""

    def last_wait(self, key: ExecutionKey) -> JobStep | None:
        """The step of this execution that the agent has last waited with, also before a crash;
        ``None`` if that step has begun."""


# --- time and memory --------------------------------------------------------------------------


class TimerEvents(Protocol):
    """Reports of the timer."""

    def timeout(self) -> None:
        """The time is over."""


class Timer(Protocol):
    """One timer, and the clock behind it."""

    def start(self, seconds: float) -> None:
        """Report ``timeout`` in so many seconds, in place of one that is still to come."""

    def cancel(self) -> None:
        """Report nothing; it is no error if the timer does not run."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""


@dataclass(frozen=True)
class Rollback:
    """A failed update that is taken back.

    :ivar version: the job's.
    :ivar state: the end that the job has come to; empty if others have ended it.
    :ivar hook_done: the rollback hook is not run again.
    :ivar failed: it, or the restart that it has asked for, has failed.
    :ivar restart: it has asked for the restart hook.
    :ivar restarts: how often the restart hook was begun for it.
    :ivar restarted: the last of these runs has exited with 0.
    """

    version: str
    state: State | None
    message: str
    facts: Mapping[str, str] = field(default_factory=dict)
    hook_done: bool = False
    failed: bool = False
    restart: bool = False
    restarts: int = 0
    restarted: bool = False


@dataclass(frozen=True)
class Ending:
    """The end of a job, which the cleanup hook follows.

    :ivar state: the value of ``statusDetails.state``, or that others have ended the job.
    """

    job: Job
    state: str
    message: str


@dataclass(frozen=True)
class Memory:
    """The device's memory of an update, as the agent finds it when it starts.

    :ivar restart_accepted: AWS had accepted ``reboot_start``.
    :ivar same_boot: the device has not gone down since the record was written.
    :ivar restart_attempts: how often the restart hook was begun.
    :ivar restart_done: the last run of the restart hook has exited with 0.
    :ivar restart_waiting: the last run of the restart hook has asked for another one later.
    :ivar verified: the success that an earlier agent had reported, and AWS has not accepted.
    :ivar replaced: the version that ran before the update; empty if it is not known.
    :ivar version: the version that it installs, or else the one that was installed last; empty if
        it is not known.
    :ivar rollback: how far it is taken back; then nothing else of it counts.
    """

    key: ExecutionKey
    restart_accepted: bool = False
    same_boot: bool = False
    restart_attempts: int = 0
    restart_done: bool = False
    restart_waiting: bool = False
    verified: State | None = None
    replaced: str = ""
    version: str = ""
    rollback: Rollback | None = None


class Stage(StrEnum):
    """How far an installation has got that is not confirmed yet."""

    INSTALLING = "installing"
    """The install hook was begun. It may have done half of its work."""

    INSTALLED = "installed"
    """The install hook has exited with 0. The device may still run the old version."""

    RESTARTED = "restarted"
    """The version hook named the new version after a restart. The ready hook has not agreed."""


@dataclass(frozen=True)
class Installation:
    """An installation by the agent that was begun and not confirmed yet."""

    version: str
    stage: Stage


class Record(Protocol):
    """The device's own memory of the update in hand, which survives a crash."""

    def working(self, key: ExecutionKey) -> None:
        """The agent works on this execution."""

    def restarting(self, key: ExecutionKey) -> bool:
        """AWS has accepted ``reboot_start``, and the restart hook is about to run.

        From now on the job must not be installed again. Returns ``False`` if an older record could
        neither be replaced nor be removed: the restarts would not be counted.
        """

    def restarted(self, key: ExecutionKey) -> None:
        """The restart hook has exited with 0."""

    def rolling_back(self, key: ExecutionKey, rollback: Rollback) -> bool:
        """The update is taken back, and has got so far.

        Returns ``False`` if an older record could neither be replaced nor be removed.
        """

    @property
    def kept(self) -> bool:
        """Whether the disk holds all that it was told to remember."""

    def cleaning(self, ending: Ending) -> None:
        """No update is in hand, and the cleanup hook is about to run."""

    def uncleaned(self) -> Ending | None:
        """The end of a job whose cleanup hook was begun, and has not come to its end. What the job
        document says beside the version is not known any more."""

    def clear(self) -> None:
        """No update is in hand."""

    def catch_up(self) -> None:
        """Write what could not be written, if anything: the disk may take it by now."""

    def note_replaced(self, version: str) -> None:
        """Remember the version that ran before the update in hand, from the next change on."""

    def unconfirmed(self, version: str) -> Installation | None:
        """The last installation of a version, unless it was confirmed: it outlives its job."""

    def note_left(self, key: ExecutionKey) -> None:
        """Another job is next, before it is known whether the installation of this one works."""

    def installs(self, key: ExecutionKey) -> str:
        """The version whose install hook the execution has begun; empty if it has not. Empty as
        well once another job was installed in its place."""

    def displaced(self, key: ExecutionKey) -> bool:
        """Whether another job was installed or confirmed after that: what is installed now may be
        its."""

    def note_installation(self, installation: Installation) -> None:
        """Remember how far an installation of the update in hand has got."""

    def confirm(self, version: str) -> None:
        """The installation of a version is confirmed: forget it."""
