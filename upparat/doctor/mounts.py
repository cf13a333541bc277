"""The mounted file systems: see proc_pid_mountinfo(5)."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

MOUNTINFO = Path("/proc/self/mountinfo")

VOLATILE = ("tmpfs", "ramfs", "devtmpfs")
"""File systems that a reboot empties."""


@dataclass(frozen=True)
class Mount:
    """A mounted file system.

    :ivar options: such as ``ro`` and ``noexec``, of the mount and of its file system.
    """

    point: Path
    kind: str
    options: frozenset[str]

    @property
    def volatile(self) -> bool:
        """Whether a reboot empties it."""
        return self.kind in VOLATILE


def mount_of(path: Path, mountinfo: Path = MOUNTINFO) -> Mount | None:
    """The mount that a path is on, or would be on; ``None`` if that is not known."""
    real = Path(os.path.realpath(path))
    try:
        lines = mountinfo.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return None
    above = [mount for mount in map(_parsed, lines) if mount and real.is_relative_to(mount.point)]
    # Of several mounts on one point, the last one covers the others.
    return max(reversed(above), key=lambda mount: len(mount.point.parts), default=None)


def _parsed(line: str) -> Mount | None:
    words = line.split()
    try:
        end = words.index("-")
        point, options = words[4], words[5]
        kind, more = words[end + 1], words[end + 3]
    except (ValueError, IndexError):
        return None
    return Mount(Path(_unescaped(point)), kind, frozenset([*options.split(","), *more.split(",")]))


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: chr(int(match[1], 8)), text)
