"""Directories and files that belong to the agent alone.

The agent often runs as root. If another user could put a file or a symbolic link where the agent
looks for its own, the agent would write over files of root's, believe a record that it never wrote,
or end processes of others. So each use opens the directory anew, looks whose it is, and works on
its files by the descriptor of the directory.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from .disk import disk_work, sync_directory

_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH


class NotPrivate(OSError):
    """A directory or a file is not the agent's alone. The message names the command that mends it.

    :ivar path: the directory or the file.
    """

    def __init__(self, path: Path, problem: str, remedy: str) -> None:
        self.path = path
        message = f"{path} {problem}; mend it with: {remedy}"
        super().__init__(errno.EPERM, message)

    def __str__(self) -> str:
        return str(self.strerror)


class PrivateDirectory:
    """A directory for the agent's user alone, and its files.

    Every method may raise :class:`OSError`, and :class:`NotPrivate` of that kind.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def prepare(self) -> None:
        """Make the directory, if it is missing, and check it and the directories above it."""
        self._make()
        self.check()

    def check(self) -> None:
        """Check the directory and those above it, if it exists."""
        path = self.path.absolute()
        for parent in dict.fromkeys((*path.parents, *path.resolve().parents)):
            _check_parent(parent)
        with suppress(FileNotFoundError), self.opened():
            pass

    def _make(self) -> None:
        """Make the directory and those above it, which only root or the agent's user may change,
        whatever the umask is."""
        for parent in reversed(self.path.parents):
            with suppress(FileExistsError):
                parent.mkdir(mode=0o755)
        with suppress(FileExistsError):
            self.path.mkdir(mode=0o700)

    @contextmanager
    def opened(self) -> Iterator[int]:
        """Open the directory, and yield its descriptor."""
        with disk_work():
            descriptor = self._open()
            try:
                _check(self.path, os.fstat(descriptor))
                yield descriptor
            finally:
                os.close(descriptor)

    def _open(self) -> int:
        try:
            return os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                link = self.path.is_symlink()
                what = "is a symbolic link" if link else "is not a directory"
                raise NotPrivate(self.path, what, _aside(self.path)) from None
            raise

    def read(self, name: str) -> bytes:
        """Read a file."""
        with self.opened() as directory:
            descriptor = open_private(self.path / name, os.O_RDONLY, directory=directory)
            with open(descriptor, "rb") as stream:
                return stream.read()

    def write(self, name: str, content: bytes) -> None:
        """Write a file. Makes the directory, if it is missing. Nothing is synced."""
        self._make()
        with self.opened() as directory:
            self._write(name, content, directory)

    def replace(self, name: str, content: bytes) -> None:
        """Replace the content of a file: after a power cut it has the old content or the new one.
        Makes the directory, if it is missing."""
        self._make()
        new = f"{Path(name).stem}.new"
        with self.opened() as directory:
            self._write(new, content, directory, sync=True)
            os.replace(new, name, src_dir_fd=directory, dst_dir_fd=directory)
            sync_directory(directory)

    def overwrite(self, name: str, content: bytes) -> None:
        """Write over the content of a file where it lies: most file systems need no room for that.
        After a power cut it may hold anything.

        :raises FileNotFoundError: if there is none.
        """
        with self.opened() as directory:
            descriptor = open_private(self.path / name, os.O_WRONLY, directory=directory)
            with open(descriptor, "wb") as stream:
                stream.write(content)
                stream.truncate()
                stream.flush()
                os.fsync(descriptor)

    def rename(self, old: str, new: str) -> None:
        """Rename a file."""
        with self.opened() as directory:
            os.replace(old, new, src_dir_fd=directory, dst_dir_fd=directory)

    def remove(self, name: str, *, sync: bool = False) -> None:
        """Remove a file, if it is there.

        :param sync: whether it stays removed after a power cut.
        """
        with suppress(FileNotFoundError), self.opened() as directory:
            os.unlink(name, dir_fd=directory)
            if sync:
                sync_directory(directory)

    def _write(self, name: str, content: bytes, directory: int, *, sync: bool = False) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        descriptor = open_private(self.path / name, flags, directory=directory)
        with open(descriptor, "wb") as stream:
            stream.write(content)
            stream.flush()
            if sync:
                os.fsync(descriptor)


def open_private(path: Path, flags: int, *, directory: int | None = None) -> int:
    """Open a regular file of the agent's, but no symbolic link. A created file is for this user
    alone. A file of somebody else is not truncated.

    :param directory: a descriptor of the directory that the file is in, if it is open.
    :raises NotPrivate: if others own the file or can write to it.
    """
    kept = flags & ~os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    name = path if directory is None else path.name
    try:
        descriptor = os.open(name, kept, 0o600, dir_fd=directory)
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENXIO):
            raise NotPrivate(path, "is not a regular file", _aside(path)) from None
        raise
    try:
        _check(path, os.fstat(descriptor), regular=True)
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _check(path: Path, found: os.stat_result, *, regular: bool = False) -> None:
    if regular and not stat.S_ISREG(found.st_mode):
        raise NotPrivate(path, "is not a regular file", _aside(path))
    if found.st_uid != os.geteuid():
        raise NotPrivate(path, f"belongs to another user (uid {found.st_uid})", _aside(path))
    if found.st_mode & _OTHERS_WRITE:
        raise NotPrivate(path, "can be written to by others", f"chmod go-w {quote(str(path))}")


def _check_parent(path: Path) -> None:
    """Refuse a directory above ours in which others could replace ours, and a link of others to
    it."""
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if found.st_uid not in (0, os.geteuid()):
        remedy = f"chown -h {os.geteuid()} {quote(str(path))}"
        raise NotPrivate(path, f"belongs to another user (uid {found.st_uid})", remedy)
    if stat.S_ISLNK(found.st_mode) or found.st_mode & stat.S_ISVTX:
        return
    if found.st_mode & stat.S_IWOTH:
        raise NotPrivate(path, "can be written to by others", f"chmod o-w {quote(str(path))}")
    if found.st_mode & stat.S_IWGRP and found.st_gid not in (0, os.getegid()):
        problem = f"can be written to by others (gid {found.st_gid})"
        raise NotPrivate(path, problem, f"chmod g-w {quote(str(path))}")


def _aside(path: Path) -> str:
    """The command for what is not ours: what it holds must not be believed."""
    return f"mv {quote(str(path))} {quote(f'{path}.foreign')}"
