"""AWS's step timer: it ends an execution whose device has fallen silent.

Each report of progress sets the timer anew. AWS ends the execution as ``TIMED_OUT`` when it runs
out, so a device that lives repeats its last report in time.

Source: the AWS IoT developer guide (job execution timeout), ``stepTimeoutInMinutes``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Protocol

from twisted.internet.interfaces import IReactorTime

from upparat.job import Hook, JobExecution, Report, State, Status
from upparat.oneshot import OneShot

MOST = 10_080
"""Minutes that AWS admits at the most: a week."""

OFFLINE = 3600.0
"""Seconds that a device may be without a connection, on top of what a phase takes."""

PAUSE = 64.0
"""Seconds between two attempts at a download, at the most."""

WAITING = 86_400.0
"""Seconds for a device that waits for its window or for consent: it may be off for the night."""

RENEWALS = 3
"""A timer is renewed after this part of it: a third, so that a renewal that AWS refuses is made
again before the end."""

_DOWNLOAD = (State.DOWNLOAD_START, State.DOWNLOAD_PROGRESS, State.DOWNLOAD_INTERRUPT)
_INSTALL = (
    State.INSTALLATION_START,
    State.INSTALLATION_PROGRESS,
    State.INSTALLATION_INTERRUPT,
)
_WAIT = (State.WAITING_FOR_WINDOW, State.WAITING_FOR_APPROVAL)


class HookLimits(Protocol):
    """How long hooks may take; times are in seconds."""

    @property
    def timeouts(self) -> Mapping[Hook, float]: ...
    @property
    def retry_interval(self) -> float: ...
    @property
    def max_retries(self) -> int: ...
    @property
    def restart_grace(self) -> float: ...
    @property
    def restart_timeout(self) -> float: ...
    @property
    def restart_attempts(self) -> int: ...
    @property
    def install_stream(self) -> bool: ...
    @property
    def install_url(self) -> bool: ...


class DownloadLimits(Protocol):
    """How long a download may bring nothing new; times are in seconds."""

    @property
    def connect_timeout(self) -> float: ...
    @property
    def idle_timeout(self) -> float: ...
    @property
    def max_attempts(self) -> int: ...


_IN_PROGRESS = {state.value: state for state in State if state.status is Status.IN_PROGRESS}

Steps = Callable[[State], int]
"""Minutes until AWS ends an execution in progress, after a report with this state."""


def step_minutes(hooks: HookLimits, download: DownloadLimits) -> Steps:
    """Make the minutes of each state: what may pass at the most until the next phase begins."""

    def runs(hook: Hook) -> float:
        return hooks.max_retries * (hooks.timeouts[hook] + hooks.retry_interval)

    attempt = download.connect_timeout + download.idle_timeout + PAUSE
    fetching, installing = download.max_attempts * attempt, runs(Hook.INSTALL)
    if hooks.install_stream or hooks.install_url:  # the hook gets the file while it comes
        fetching = installing = max(fetching, installing)
    restarting = hooks.restart_attempts * runs(Hook.RESTART) + hooks.restart_grace
    checking = hooks.restart_timeout + runs(Hook.VERSION) + runs(Hook.READY)
    undoing = runs(Hook.ROLLBACK) + restarting + hooks.restart_timeout + runs(Hook.VERSION)
    phases = {
        State.ROLLBACK_START: undoing,
        **dict.fromkeys(_DOWNLOAD, fetching),
        **dict.fromkeys(_INSTALL, installing),
        **dict.fromkeys(_WAIT, WAITING),
    }
    minutes = {state: _minutes(phases.get(state, restarting + checking)) for state in State}
    return lambda state: minutes[state]


def _minutes(seconds: float) -> int:
    return math.ceil(min(MOST, (seconds + OFFLINE) / 60))


class StepTimer:
    """Repeats the last report of progress on the execution that is followed.

    :param steps: ``None`` if no report sets a timer; then there is nothing to repeat.
    :param repeat: sends a report once more, if no other report waits.
    """

    def __init__(
        self,
        clock: IReactorTime,
        steps: Steps | None,
        repeat: Callable[[JobExecution, Report], None],
    ) -> None:
        self._steps = steps
        self._repeat = repeat
        self._renewal = OneShot(clock)

    def resume(self, execution: JobExecution) -> None:
        """Repeat at once what an earlier agent has reported: its timer may be about to run out."""
        report = _last_report(execution)
        if self._steps is not None and report is not None:
            self._renew(self._steps, execution, report)

    def reported(self, execution: JobExecution, report: Report) -> None:
        """AWS has accepted this report, and its timer runs."""
        if self._steps is not None and not report.status.ended:
            self._start(self._steps, execution, report)

    def stop(self) -> None:
        """Repeat nothing: nobody works on the execution."""
        self._renewal.cancel()

    def _start(self, steps: Steps, execution: JobExecution, report: Report) -> None:
        part = 60.0 * steps(report.state) / RENEWALS
        self._renewal.start(part, self._renew, steps, execution, report)

    def _renew(self, steps: Steps, execution: JobExecution, report: Report) -> None:
        self._start(steps, execution, report)
        self._repeat(execution, report)


def _last_report(execution: JobExecution) -> Report | None:
    """The report that AWS has last accepted; ``None`` if it is not one of ours on progress."""
    state = _IN_PROGRESS.get(execution.state)
    if state is None or execution.status is not Status.IN_PROGRESS:
        return None
    return Report(state, execution.details.get("message", ""))
