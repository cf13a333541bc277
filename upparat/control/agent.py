"""What the control knows of the agent: questions to the wings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from upparat.snapshots import (
    ConnectionSnapshot,
    DownloadSnapshot,
    HookSnapshot,
    JobSnapshot,
    Wait,
)


class Decisions(Protocol):
    """Takes the decisions of people; each method returns one line on what holds now.

    Each raises ``PermissionError`` if the user may not decide, ``LookupError`` if the job is not in
    hand, and ``ValueError`` if the decision makes no sense. Times are in seconds.
    """

    def approve(self, step: str | None, job_id: str | None, uid: int, pid: int) -> str:
        """Let a step of the job in hand begin; without a step, the one that waits."""

    def defer(self, job_id: str | None, seconds: float, uid: int, pid: int) -> str:
        """Begin no step of the job in hand for so long."""

    def pause(self, seconds: float | None, uid: int, pid: int) -> str:
        """Begin no step of any job for so long."""

    def resume(self, uid: int, pid: int) -> str:
        """End a pause."""


class Installs(Protocol):
    """Takes orders for installs by hand."""

    def install(self, path: str, offset: int, document: dict[str, Any], uid: int, pid: int) -> str:
        """Take an order, and return the id of its job.

        :param path: of a file on the device, absolute.
        :param offset: of the update's first byte in the file.
        :param document: of the job, without ``file``; it has ``size`` and ``sha256``.
        :raises PermissionError: if the user may not decide.
        :raises ValueError: if the order could never work.
        :raises RuntimeError: if it cannot be taken now.
        """


@dataclass(frozen=True)
class Agent:
    """Where the status comes from; each callable returns what holds now.

    :ivar downloads: the directory of the downloaded files.
    :ivar state: returns the state of the machine.
    :ivar pause: returns what the machine's own timer waits for.
    :ivar policy: returns what the next step waits for.
    :ivar install: returns the id of the install by hand that is not over.
    :ivar turn: returns what an install by hand waits for, until it is its turn.
    """

    version: str
    thing: str
    host: str
    port: int
    downloads: Path
    state: Callable[[], str]
    connection: Callable[[], ConnectionSnapshot]
    job: Callable[[], JobSnapshot | None]
    pause: Callable[[], Wait | None]
    download: Callable[[], DownloadSnapshot | None]
    hook: Callable[[], HookSnapshot | None]
    policy: Callable[[], Wait | None]
    decisions: Decisions
    turn: Callable[[], Wait | None]
    install: Callable[[], str | None]
    installs: Installs
