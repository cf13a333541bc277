"""One agent for each directory: two would install at the same time, into the same files."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from .private import PrivateDirectory

NAME = "agent.lock"  # with the dot it cannot be the id of a job


class Held(Exception):
    """Another agent holds the lock; the message says which."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(f"{directory} is in use by another agent ({holder})")
        self.directory = directory


class Lock:
    """An exclusive lock on a directory, for as long as the process lives.

    The kernel lets go of it when the process ends, however that happens. Hooks do not inherit it.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = PrivateDirectory(directory)
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock; does nothing if this object has it.

        :raises Held: if another process has it.
        :raises OSError: if the directory cannot be used.
        """
        if self._descriptor is not None:
            return
        self._directory.prepare()
        descriptor = self._directory.open(NAME, os.O_RDWR | os.O_CREAT)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors="replace").strip()
            os.close(descriptor)
            who = f"process {holder}" if holder else "which has just started"
            raise Held(self._directory.path, who) from None
        self._descriptor = descriptor
        self.sign()

    def sign(self) -> None:
        """Write the number of this process into the lock, for others to read. To be called again
        after a fork: the child has the lock as well."""
        if self._descriptor is not None:
            with suppress(OSError):  # a full disk: the lock holds all the same
                os.ftruncate(self._descriptor, 0)
                os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let go of the lock; it is no error to have none."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)
