"""Locks of directories: one agent works in a directory at a time.

The kernel releases a lock when the process ends, however it ends. Hooks do not inherit it.
"""

from __future__ import annotations

import errno
import fcntl
import os
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from upparat.private import NotPrivate, PrivateDirectory, open_private

NAME = "agent.lock"
"""The file that is locked. It stays, because a lock on a file that was removed excludes nobody. The
name cannot be the id of a job."""

_HELD = (errno.EAGAIN, errno.EACCES)


class Held(Exception):
    """Another process works in the directory. The message says which."""


class Lock:
    """An exclusive lock of a directory, by flock(2); kept until the process ends.

    :raises Held: if another process has it.
    :raises OSError: if the directory is not private, or has no lock.
    """

    def __init__(self, directory: PrivateDirectory) -> None:
        directory.prepare()
        with directory.opened() as opened:
            flags = os.O_RDWR | os.O_CREAT
            self._descriptor = open_private(directory.path / NAME, flags, directory=opened)
        try:
            self._acquire(directory)
            self.sign()
        except BaseException:
            self.release()
            raise

    def _acquire(self, directory: PrivateDirectory) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            holder = os.pread(self._descriptor, 20, 0).decode(errors="replace").strip()
            who = f"process {holder}" if holder else "another process"
            raise Held(f"{directory.path} is in use by {who}") from None

    def sign(self) -> None:
        """Name this process as the holder. Call it again after a fork, which keeps the lock."""
        with suppress(OSError):  # a full disk; the lock holds all the same
            os.ftruncate(self._descriptor, 0)
            os.pwrite(self._descriptor, f"{os.getpid()}\n".encode(), 0)

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


class Claim:
    """The directories that this process works in.

    :raises Held: if another process works in one of them.
    :raises NotPrivate: if others own one of them or can write to it.
    """

    log = Logger()

    def __init__(self, *directories: Path) -> None:
        self._locks: list[Lock] = []
        self._paths: list[Path] = []
        try:
            for directory in directories:
                self._lock(directory)
        except BaseException:
            self.release()
            raise

    def _lock(self, path: Path) -> None:
        if any(_same(path, other) for other in self._paths):
            return
        try:
            self._locks.append(Lock(PrivateDirectory(path)))
            self._paths.append(path)
        except NotPrivate:
            raise
        except OSError as error:
            # A disk that is full or broken must not keep the agent from its work.
            self.log.error(
                "{path} cannot be locked against a second agent: {error}",
                path=str(path),
                error=str(error),
            )

    def sign(self) -> None:
        """Name this process as the holder, after a fork."""
        for lock in self._locks:
            lock.sign()

    def release(self) -> None:
        """Let others have them."""
        while self._locks:
            self._locks.pop().release()


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
