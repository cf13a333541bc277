"""What the control knows of the agent: questions to the wings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from upparat.snapshots import (
    ConnectionSnapshot,
    DownloadSnapshot,
    HookSnapshot,
    JobSnapshot,
    Wait,
)


@dataclass(frozen=True)
class Agent:
    """Where the status comes from; each callable returns what holds now.

    :ivar downloads: the directory of the downloaded files.
    :ivar state: returns the state of the machine.
    :ivar pause: returns what the machine's own timer waits for.
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
