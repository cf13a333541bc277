"""The status message, built of the snapshots of the wings."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from upparat.log import redact
from upparat.snapshots import (
    ConnectionSnapshot,
    DownloadSnapshot,
    HookSnapshot,
    JobSnapshot,
    Wait,
    WaitKind,
)
from upparat.text import printable

from .agent import Agent
from .history import SHOWN, PastJob
from .protocol import PROTOCOL, Message

_QUIET_STATES = {
    "idle": Wait(WaitKind.EARLIER_HOOK, "a hook of an earlier agent may still run"),
    "restart": Wait(WaitKind.RESTART_ACCEPTED, "AWS has not accepted reboot_start yet"),
}
"""What the machine waits for in states in which neither its timer nor a hook runs."""

_VOLATILE = frozenset(
    {
        *("time", "since", "until", "limit"),
        *("seconds", "remaining_seconds", "limit_seconds"),
        *("free", "used"),
    }
)
"""Members that change although nothing happens."""


class StatusBuilder:
    """Builds the status of an agent.

    :param history: returns the last jobs, the newest first.
    :param now: returns the time of day, in seconds since the epoch.
    """

    def __init__(
        self,
        agent: Agent,
        history: Callable[[], Sequence[PastJob]] = lambda: (),
        now: Callable[[], float] = time.time,
    ) -> None:
        self._agent = agent
        self._history = history
        self._now = now
        self._started = self._iso(0)

    def build(self) -> Message:
        """Return the status message."""
        agent = self._agent
        connection, job = agent.connection(), agent.job()
        download, hook = agent.download(), agent.hook()
        return {
            "protocol": PROTOCOL,
            "type": "status",
            "time": self._iso(0),
            "agent": {"version": agent.version, "pid": os.getpid(), "started": self._started},
            "thing": agent.thing,
            "connection": self._connection(connection),
            "state": agent.state(),
            "job": self._job(job) if job else None,
            "install": agent.install(),
            "download": _download(download) if download else None,
            "hook": _hook(hook) if hook else None,
            "waiting": [self._wait(each) for each in self._waits(connection, download, hook)],
            "history": [past(each) for each in self._history()[:SHOWN]],
            "disk": _disk(agent.downloads),
        }

    def history(self) -> Message:
        """Return the message with all jobs that are kept."""
        jobs = [past(each) for each in self._history()]
        return {"protocol": PROTOCOL, "type": "history", "jobs": jobs}

    def _iso(self, seconds: float | None) -> str | None:
        """The time of day in so many seconds, which may be negative."""
        if seconds is None:
            return None
        return _iso(self._now() + seconds)

    def _connection(self, found: ConnectionSnapshot) -> Message:
        since = None if found.seconds is None else -found.seconds
        return {
            "host": self._agent.host,
            "port": self._agent.port,
            "connected": found.seconds is not None,
            "since": self._iso(since),
            "seconds": _rounded(found.seconds),
            "problem": _safe(found.problem) or None,
        }

    def _job(self, job: JobSnapshot) -> Message:
        return {
            "id": job.key.job_id,
            "execution": job.key.number,
            "queued": _iso(job.key.queued_at),
            "version": _safe(job.version),
            "force": job.force,
            "size": job.size,
        }

    def _waits(
        self,
        connection: ConnectionSnapshot,
        download: DownloadSnapshot | None,
        hook: HookSnapshot | None,
    ) -> Sequence[Wait]:
        connecting = None
        if connection.retry is not None:
            connecting = Wait(WaitKind.CONNECTION, connection.problem, connection.retry)
        pause = self._agent.pause()
        if pause is None and hook is None:
            pause = _QUIET_STATES.get(self._agent.state())
        waits = (
            connecting,
            download.wait if download else None,
            hook.wait if hook else None,
            self._agent.policy(),
            pause,
            self._agent.turn(),
        )
        return [each for each in waits if each is not None]

    def _wait(self, wait: Wait) -> Message:
        return {
            "for": wait.kind.value,
            "why": _safe(wait.why),
            "until": self._iso(wait.seconds),
            "seconds": _rounded(wait.seconds),
            "limit": self._iso(wait.limit),
            "limit_seconds": _rounded(wait.limit),
        }


def steady(message: Any) -> Any:
    """Return a status without what changes although nothing happens."""
    if isinstance(message, dict):
        return {name: steady(each) for name, each in message.items() if name not in _VOLATILE}
    if isinstance(message, list):
        return [steady(each) for each in message]
    return message


def _iso(seconds: float) -> str | None:
    try:
        return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
    except (ValueError, OverflowError, OSError):  # a time of AWS's that no calendar has
        return None


def _download(found: DownloadSnapshot) -> Message:
    left = None if found.total is None else max(0, found.total - found.received)
    remaining = left / found.rate if left is not None and found.rate else None
    return {
        "bytes": found.received,
        "total": found.total,
        "rate": None if found.rate is None else round(found.rate),
        "remaining_seconds": _rounded(remaining),
    }


def _hook(found: HookSnapshot) -> Message:
    return {
        "name": found.hook.value,
        "run": found.run,
        "running": found.seconds is not None,
        "seconds": _rounded(found.seconds),
        "timeout": found.timeout,
        "remaining_seconds": _rounded(found.remaining),
    }


def past(job: PastJob) -> Message:
    """Return a job of the history as it is sent."""
    return {
        "id": job.id,
        "execution": job.execution,
        "version": job.version,
        "status": job.status or None,
        "state": job.state,
        "message": job.message,
        "time": job.time,
        "replaced": job.replaced or None,
        "begun": job.begun or None,
        "seconds": job.seconds,
    }


def _disk(directory: Path) -> Message:
    """The room on the file system of a directory, and what the files in it take, in bytes."""
    free = None
    for place in (directory, *directory.parents):
        with suppress(OSError):
            found = os.statvfs(place)
            free = found.f_bavail * found.f_frsize
            break
    return {"directory": str(directory), "free": free, "used": _used(directory)}


def _used(directory: Path) -> int:
    used = 0
    with suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            with suppress(OSError):
                found = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(found.st_mode):
                    used += found.st_blocks * 512
    return used


def _rounded(seconds: float | None) -> float | None:
    return None if seconds is None else round(seconds, 1)


def _safe(text: str) -> str:
    return printable(redact(text))
