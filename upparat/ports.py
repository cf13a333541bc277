"""The machine's borders: the events that reach it, and the effects that it asks for.

Two rules hold for every port. It does not raise into the machine: what goes wrong comes back as an
event. It is silent once it was told to stop: no event follows that belongs to the old work.
Effects return at once; their outcome is an event, which may be fed in before the effect returns.

Each port takes its half of the events as a Protocol of its own, so that an adapter sees only what
it may say; the machine's inputs (:class:`upparat.machine.Inputs`) are all of them together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from .job import ExecutionKey, Hook, Job, JobExecution, JobExecutionSummary, Report, State

# --- AWS IoT Jobs -----------------------------------------------------------------------------


class JobsEvents(Protocol):
    """What the jobs client tells."""

    def changed(self) -> None:
        """The list of pending executions may have changed: ask for it when idle.

        Comes after every (re)connection, every notification, and every few minutes.
        """

    def pending(
        self, in_progress: Sequence[JobExecutionSummary], queued: Sequence[JobExecutionSummary]
    ) -> None:
        """The answer to :meth:`Jobs.fetch`: each list oldest first."""

    def described(self, execution: JobExecution) -> None:
        """The answer to :meth:`Jobs.describe`; the document is there, the status may be ended."""

    def describe_failed(self, job_id: str, ended: bool) -> None:
        """The other answer to :meth:`Jobs.describe`: it is not to be had.

        ``ended``: since AWS says that it is over or unknown, and not since it cannot be asked for
        or the answer makes no sense.
        """

    def delivered(self, state: State) -> None:
        """AWS has accepted the report with this state (of the execution that is followed)."""

    def cancelled(self) -> None:
        """The execution that is followed is over in AWS, though we did not end it."""


class Jobs(Protocol):
    """AWS IoT Jobs. Every request is repeated until it is answered, whatever the line does."""

    def fetch(self) -> None:
        """Ask for the pending executions, after every report given so far has been dealt with."""

    def describe(self, job_id: str) -> None:
        """Ask for an execution with its document; a pre-signed URL in it is fresh."""

    def follow(self, execution: JobExecution) -> None:
        """Watch this one: from now on its end by others is told as ``cancelled``."""

    def unfollow(self) -> None:
        """Watch none; reports given so far are still delivered."""

    def report(self, execution: JobExecution, report: Report) -> None:
        """Report on an execution, in order. Progress may be left out when newer progress follows.

        A report that ends the execution also ends following it.
        """


# --- downloads --------------------------------------------------------------------------------


STREAM = "-"
"""What stands for the path of a file that the install hook reads from its stdin."""


class DownloadEvents(Protocol):
    """What a download tells."""

    def progressed(self, downloaded: int, total: int | None) -> None:
        """So many bytes are there, of ``total`` if that is known."""

    def downloaded(self, path: str) -> None:
        """The file is complete, checked against the job's size and digest, and on the disk."""

    def stream_ready(self) -> None:
        """Instead of ``downloaded``, with ``[hooks] install_stream``: run the install hook with
        :data:`STREAM` for a file, and it will read the file as it comes.

        Meanwhile ``progressed`` and ``url_expired`` tell of that, and ``download_failed`` that it
        was in vain, when nothing of the hook runs any more.
        """

    def url_expired(self, reason: str) -> None:
        """The server refuses the URL; :meth:`Downloads.start` again with a fresh one."""

    def download_failed(self, state: State, message: str) -> None:
        """There is no hope left for this file; ``state`` is one of a failed download."""


class Downloads(Protocol):
    """Fetches the file of one job at a time."""

    def start(self, job: Job) -> None:
        """Fetch the job's file, continuing a partial one; a second start for the same execution
        continues its budget of attempts, and a stream that the install hook is reading."""

    def stop(self) -> None:
        """Stop; the partial file is kept."""

    def discard(self, key: ExecutionKey) -> None:
        """Remove this execution's files, partial or complete."""


# --- hooks ------------------------------------------------------------------------------------


class HookEvents(Protocol):
    """What a run of a hook, retries included, tells."""

    def version_known(self, version: str) -> None:
        """The version hook's last non-empty line (an empty string if there was none)."""

    def download_allowed(self) -> None:
        """The download hook exited with 0."""

    def install_output(self, line: str) -> None:
        """The install hook printed a line (already made printable, never empty)."""

    def installed(self) -> None:
        """The install hook exited with 0."""

    def restarted(self) -> None:
        """The restart hook exited with 0: the device may be about to go down."""

    def ready(self) -> None:
        """The ready hook exited with 0."""

    def hook_failed(self, hook: Hook, message: str) -> None:
        """The hook failed, timed out, could not be run, or used up its retries.

        It is not told of an install hook that was ended since its file will not come.
        """

    def released(self) -> None:
        """The answer to :meth:`Hooks.release`: no hook runs any more."""


class Hooks(Protocol):
    """Runs the owner's commands, one at a time."""

    def run(self, hook: Hook, job: Job, file: str = "") -> None:
        """Run a configured hook until it is done or has failed; ``file`` is for install: a path,
        or :data:`STREAM`.

        Install and restart hooks first wait for what an earlier agent has left of theirs.
        """

    def restart_lingers(self) -> bool:
        """Whether a restart hook that an earlier agent has begun still runs."""

    def release(self) -> None:
        """Nobody waits for the hook any more: only ``released`` follows, once none runs.

        Version, download and ready hooks are ended. An install or restart hook that is running is
        left to finish, since a flasher that is killed half-way bricks the device (unless
        ``[hooks] kill_on_cancel`` says otherwise); one that only waits for its next try is not
        run again.
        """


# --- time and memory --------------------------------------------------------------------------


class TimerEvents(Protocol):
    """What the timer tells."""

    def timeout(self) -> None:
        """The time is over."""


class Timer(Protocol):
    """One timer, and the clock behind it."""

    def start(self, seconds: float) -> None:
        """Tell ``timeout`` in so many seconds; a timer that runs already is replaced."""

    def cancel(self) -> None:
        """Forget it, if it runs."""

    def now(self) -> float:
        """Seconds on a clock that never jumps."""


@dataclass(frozen=True)
class Memory:
    """What the device knows of an update when the agent starts.

    :ivar restart_accepted: AWS had accepted ``reboot_start``.
    :ivar same_boot: the device has not gone down since the record was written.
    :ivar restart_attempts: how often the restart hook was begun.
    :ivar restart_done: the last run of the restart hook has ended with 0.
    """

    key: ExecutionKey
    restart_accepted: bool = False
    same_boot: bool = False
    restart_attempts: int = 0
    restart_done: bool = False


class Record(Protocol):
    """The device's own memory of the update in hand, which survives a crash."""

    def working(self, key: ExecutionKey) -> None:
        """This execution is being worked on."""

    def restarting(self, key: ExecutionKey) -> bool:
        """``reboot_start`` was accepted for it, and the restart hook is about to run.

        From here on it must not be installed again. ``False`` if an older memory could neither be
        replaced nor be removed: the restarts would not be counted.
        """

    def restarted(self, key: ExecutionKey) -> None:
        """The restart hook has ended with 0."""

    def clear(self) -> None:
        """No update is in hand."""
