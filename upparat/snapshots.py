"""What the agent does at one moment: read-only views that the wings give to whoever asks.

Times are seconds from the moment of the snapshot, because the clock of the agent is no time of day.
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from .job import ExecutionKey, Hook


class WaitKind(StrEnum):
    """What is waited for."""

    CONNECTION = "connection"
    DOWNLOAD = "download"
    HOOK_RETRY = "hook_retry"
    EARLIER_HOOK = "earlier_hook"
    FRESH_URL = "fresh_url"
    RESTART_ACCEPTED = "restart_accepted"
    RESTART_GRACE = "restart_grace"
    RESTART_TIMEOUT = "restart_timeout"
    WINDOW = "window"
    CLOCK = "clock"
    APPROVAL = "approval"
    DEFERRAL = "deferral"
    PAUSE = "pause"
    OTHER_JOB = "other_job"


class Wait(NamedTuple):
    """Something that the agent waits for.

    :ivar seconds: until it goes on; ``None`` if nobody knows.
    :ivar limit: seconds until it gives up; ``None`` if there is no such time.
    """

    kind: WaitKind
    why: str
    seconds: float | None = None
    limit: float | None = None


class ConnectionSnapshot(NamedTuple):
    """The connection to the broker.

    :ivar seconds: since the connection stands; ``None`` if it does not.
    :ivar problem: why it does not stand; empty if it does, or was not tried yet.
    :ivar retry: seconds until the next attempt; ``None`` if none is planned, or one is under way.
    """

    seconds: float | None = None
    problem: str = ""
    retry: float | None = None


class DownloadSnapshot(NamedTuple):
    """A download that is under way.

    :ivar received: bytes that are here.
    :ivar total: the bytes of the file, if they are known.
    :ivar rate: bytes per second of late; ``None`` if nothing comes.
    """

    received: int = 0
    total: int | None = None
    rate: float | None = None
    wait: Wait | None = None


class HookSnapshot(NamedTuple):
    """A hook that runs, or waits for its next run.

    :ivar run: the number of this run, or of the next one; the first is 1.
    :ivar seconds: since this run began; ``None`` between two runs.
    :ivar timeout: how long a run may take, in seconds.
    :ivar remaining: seconds until this run is timed out; ``None`` if no clock runs.
    """

    hook: Hook
    run: int
    timeout: float
    seconds: float | None = None
    remaining: float | None = None
    wait: Wait | None = None


class JobSnapshot(NamedTuple):
    """The job in hand, without its secrets."""

    key: ExecutionKey
    version: str
    force: bool
    size: int | None


class EndedJob(NamedTuple):
    """A job that is over.

    :ivar version: empty if the agent has never read it.
    :ivar status: as AWS names it; empty if others have ended the job.
    :ivar replaced: the version that ran before; empty if it is not known.
    """

    key: ExecutionKey
    version: str
    status: str
    state: str
    message: str
    replaced: str = ""
