"""Directories of the agent's own: nobody else can write there, or replace what is there.

A user who could make the directory first, or change a file in it, would write through the agent's
hands: a symbolic link in place of a file overwrites any file of root's, and a false record reports
a false success. So each use opens the directory anew, never through a symbolic link at its end. It
must belong to the agent's user, and nobody else may write to it. The same holds for its files.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

_OTHERS_MAY_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(OSError):
    """A directory or file that is not the agent's own; the message says how to mend it."""

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        super().__init__(f"{path} {problem}; mend it with: {remedy}")
        self.path = path


class PrivateDirectory:
    """A directory of the agent's own. Every method checks it anew.

    All of them raise :class:`NotPrivate` for what is not the agent's own, and ``OSError`` for all
    else that may be wrong.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory, for the agent's user alone, or check the one that is there."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        with self.opened():
            pass

    @contextmanager
    def opened(self) -> Iterator[int]:
        """A descriptor of the directory, for ``dir_fd``, while the block runs."""
        descriptor = _open_directory(self.path)
        try:
            _check(self.path, os.fstat(descriptor))
            yield descriptor
        finally:
            os.close(descriptor)

    def open(self, name: str, flags: int) -> int:
        """Open a regular file in the directory; with ``O_CREAT`` it is made for the user alone."""
        with self.opened() as directory:
            return self._open(name, flags, directory)

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with open(self.open(name, os.O_RDONLY), "rb") as stream:
            return stream.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file anew; a power cut may leave any part of it."""
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(self.open(name, flags), "wb") as stream:
            stream.write(content)

    def replace(self, name: str, content: bytes) -> None:
        """Replace a file so that a power cut leaves the old content or the new one."""
        new = f"{name}.new"
        with self.opened() as directory:
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
            with open(self._open(new, flags, directory), "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            os.rename(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            os.fsync(directory)

    def remove(self, name: str, *, durably: bool = False) -> None:
        """Remove a file, if it is there."""
        with self.opened() as directory:
            try:
                os.unlink(name, dir_fd=directory)
            except FileNotFoundError:
                return
            if durably:
                os.fsync(directory)

    def _open(self, name: str, flags: int, directory: int) -> int:
        # The file is checked before it is cut to nothing. A FIFO must not hold the open up.
        gentle = (flags & ~os.O_TRUNC) | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
        path = self.path / name
        try:
            descriptor = os.open(name, gentle, 0o600, dir_fd=directory)
        except OSError as error:
            if path.is_symlink():
                raise NotPrivate(path, "is a symbolic link", f"rm {path}") from error
            raise
        try:
            _check(path, os.fstat(descriptor))
            if flags & os.O_TRUNC:
                os.ftruncate(descriptor, 0)
        except OSError:
            os.close(descriptor)
            raise
        return descriptor


def _open_directory(path: Path) -> int:
    try:
        return os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except NotADirectoryError as error:
        what = "is a symbolic link" if path.is_symlink() else "is not a directory"
        raise NotPrivate(path, what, f"rm {path}") from error


def _check(path: Path, found: os.stat_result) -> None:
    if not (stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)):
        raise NotPrivate(path, "is not a regular file", f"rm {path}")
    if found.st_uid != os.geteuid():
        raise NotPrivate(path, f"belongs to user {found.st_uid}", f"chown {os.geteuid()} {path}")
    if found.st_mode & _OTHERS_MAY_WRITE:
        raise NotPrivate(path, "can be written to by others", f"chmod go-w {path}")
