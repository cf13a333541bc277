"""Locks of directories: one agent works in a directory at a time.

The kernel releases a lock when the process ends, however it ends. Hooks do not inherit it.
"""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from contextlib import suppress
from pathlib import Path

from twisted.logger import Logger

from upparat.private import NotPrivate, PrivateDirectory, open_private

LOCKS = Path("/proc/locks")

NAME = "agent.lock"
"""The file that names the process in a state directory, and is locked where others could open the
directory itself. It stays, because a lock on a file that was removed excludes nobody."""

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_HELD = (errno.EAGAIN, errno.EACCES)


class Held(OSError):
    """Another process works in the directory. The message says which."""

    def __init__(self, directory: Path, holder: str) -> None:
        super().__init__(errno.EBUSY, f"{directory} is in use by {holder}")

    def __str__(self) -> str:
        return str(self.strerror)


class Lock:
    """An exclusive lock of a directory, by flock(2); kept until the process ends.

    :param signed: name this process in a file of the directory.
    :raises Held: if another process has it.
    :raises OSError: if the directory is not private, or has no lock.
    """

    def __init__(self, directory: PrivateDirectory, *, signed: bool = False) -> None:
        self._directory = directory
        self._signed = signed
        directory.prepare()
        with directory.opened() as opened:
            found = os.fstat(opened)
            self._identity = found.st_dev, found.st_ino
            # Whoever can open a file can lock it, and would keep every agent out.
            self._descriptor = _open_file(directory, opened) if _is_open(found) else os.dup(opened)
        try:
            self._acquire()
        except BaseException:
            self.release()
            raise
        self.sign()

    def _acquire(self) -> None:
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in _HELD:
                raise
            raise Held(self._directory.path, self._holder()) from None

    def _holder(self) -> str:
        with suppress(OSError):
            pid = self._directory.read(NAME).decode(errors="replace").strip()
            if pid and Path("/proc", pid).exists():
                return f"process {pid}"
        return find_holder(os.fstat(self._descriptor)) or "another process"

    def sign(self) -> None:
        """Name this process as the holder. Call it again after a fork, which keeps the lock."""
        if self._signed:
            with suppress(OSError):  # a full disk; the lock holds all the same
                self._directory.write(NAME, f"{os.getpid()}\n".encode())

    def renewed(self) -> Lock:
        """Return the lock of the directory that is there now; this one, if it is the same still."""
        with suppress(FileNotFoundError):
            now = self._directory.path.stat()
            if (now.st_dev, now.st_ino) == self._identity:
                return self
        lock = Lock(self._directory, signed=self._signed)
        self.release()
        return lock

    def release(self) -> None:
        """Let others have it."""
        os.close(self._descriptor)


def _is_open(found: os.stat_result) -> bool:
    """Whether others can open the directory."""
    return bool(found.st_mode & _OTHERS)


def _open_file(directory: PrivateDirectory, opened: int) -> int:
    return open_private(directory.path / NAME, os.O_RDWR | os.O_CREAT, directory=opened)


def find_holder(found: os.stat_result, locks: Path = LOCKS) -> str:
    """Return the living process that has locked a file, or an empty text: see proc_locks(5).

    A process that has forked since is not found.
    """
    device = f"{os.major(found.st_dev):02x}:{os.minor(found.st_dev):02x}:{found.st_ino}"
    with suppress(OSError):
        for line in locks.read_text().splitlines():
            _, kind, _, _, pid, file, *_ = line.split()
            if (kind, file) == ("FLOCK", device) and Path("/proc", pid).exists():
                return f"process {pid}"
    return ""


class Claim:
    """The directories that this process works in.

    :param state_dir: gets a file with the name of this process.
    :raises Held: if another process works in one of them.
    :raises NotPrivate: if others own one of them or can write to it.
    """

    log = Logger()

    def __init__(self, state_dir: Path, *others: Path) -> None:
        self._state_dir = state_dir
        self._wanted = (state_dir, *others)
        self._locks: dict[Path, Lock] = {}
        try:
            self.renew()
        except BaseException:
            self.release()
            raise

    def renew(self) -> None:
        """Lock directories that could not be locked before, or that were made anew.

        :raises OSError: :class:`Held` and :class:`NotPrivate`.
        """
        for path in self._wanted:
            if path in self._locks:
                self._locks[path] = self._locks[path].renewed()
            elif not any(_same(path, other) for other in self._locks):
                self._lock(path)

    def _lock(self, path: Path) -> None:
        try:
            self._locks[path] = Lock(PrivateDirectory(path), signed=path == self._state_dir)
        except (NotPrivate, Held):
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
        for lock in self._locks.values():
            lock.sign()

    def release(self) -> None:
        """Let others have them."""
        while self._locks:
            self._locks.popitem()[1].release()


def _same(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
        return False
