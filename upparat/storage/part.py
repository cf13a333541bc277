"""The file of a download: written and hashed piece by piece, later read as a whole."""

from __future__ import annotations

import errno
import hashlib
import math
import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.disk import sync_directory
from upparat.linux import begin_writing, reserve
from upparat.private import open_private

from .directory import Files, Note

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1 << 20
"""Bytes that are hashed between two calls of ``wanted``."""

SLACK = 1 << 20
"""Bytes that a download leaves free on the disk."""

HASTE = 1 << 23
"""Bytes that are written to the cache before Linux begins to write them to the disk.

Few enough to leave little for the sync at the end, and enough to write a flash in whole blocks."""


class Stopped(Exception):
    """The hashing was stopped, because ``wanted`` returned false."""


class PartialFile:
    """The growing file of a download, and its digest.

    Any thread may call it, one call at a time. Each method may raise :class:`OSError`. The bytes of
    an earlier run are in the digest only after :meth:`rehash`.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._fd = open_private(files.part, os.O_RDWR | os.O_CREAT)
        self.length = os.fstat(self._fd).st_size
        self._sent = self.length
        self._wanted = 0
        self._expected = False
        self._hash = hashlib.sha256()
        self._hashed = Seal.of(self._fd)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read_note(self) -> Note:
        return self.files.read_note()

    def write_note(self, note: Note) -> None:
        self._check_name()
        self.files.write_note(note)

    @property
    def lost(self) -> bool:
        """Whether the file has lost its name: somebody has removed or replaced it or its directory.

        The descriptor takes bytes all the same."""
        try:
            found = os.lstat(self.files.part)
        except (FileNotFoundError, NotADirectoryError):
            return True
        return not os.path.samestat(found, os.fstat(self._fd))

    def _check_name(self) -> None:
        if self.lost:
            raise FileNotFoundError(errno.ENOENT, "the file was removed")

    @property
    def tampered(self) -> bool:
        """Whether another program has written to the file since its bytes were hashed."""
        return Seal.of(self._fd) != self._hashed

    def rehash(self, wanted: Callable[[], bool]) -> None:
        """Hash the bytes of an earlier run. Slow: call it in a thread."""
        self._hashed = Seal.of(self._fd)
        self._hash = hash_file(self.files.part, self.length, wanted)

    def make_room(self, total: int) -> None:
        """Check that the disk has room for a file of ``total`` bytes, and :data:`SLACK` more.

        The next write reserves the room, because that may take a moment.

        :raises OSError: ``ENOSPC``, if there is less room.
        """
        found = os.fstat(self._fd)
        missing = total - max(self.length, found.st_blocks * 512)  # reserved blocks count
        lacking = missing + SLACK - _free(self._fd)
        if missing > 0 and lacking > 0:
            raise OSError(errno.ENOSPC, f"the disk lacks {lacking} bytes for the file")
        self._wanted = total
        self._expected = True

    def write(self, data: bytes | bytearray) -> None:
        view, end = memoryview(data), self.length
        self._check_name()
        try:
            if not self._expected:
                self._spare(len(view))
            self._reserve()
            while view:
                # Write at the counted end, because a failed write may have left more bytes.
                written = os.pwrite(self._fd, view, end)
                view, end = view[written:], end + written
        except OSError:
            self._take_back()
            raise
        self._hash.update(data)
        self.length += len(data)
        self._hashed = Seal.of(self._fd)
        if self.length - self._sent >= HASTE:
            begin_writing(self._fd, self._sent, self.length)
            self._sent = self.length

    def _spare(self, size: int) -> None:
        """Leave :data:`SLACK` bytes free for other programs if the size of the file is unknown."""
        if _free(self._fd) < size + SLACK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _reserve(self) -> None:
        wanted, self._wanted = self._wanted, 0
        reserve(self._fd, self.length, wanted)

    def _take_back(self) -> None:
        """Free blocks that were written or reserved but not counted."""
        with suppress(OSError):
            os.ftruncate(self._fd, self.length)

    def start_over(self) -> None:
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self._hashed = Seal.of(self._fd)
        self.length = self._sent = 0

    def syncing(self) -> Callable[[], None]:
        """Return a function that syncs the file. Call it in a thread, even after :meth:`close`."""
        descriptor = os.dup(self._fd)

        def sync() -> None:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

        return sync

    def commit(self, note: Note) -> Path:
        """Rename the synced file to its final name and sync the name. May be called again."""
        part, complete = self.files.part, self.files.complete
        self.write_note(note)
        part.replace(complete)
        try:
            sync_directory(self.files.directory)
        except OSError:
            complete.replace(part)
            raise
        return complete

    def seal(self) -> Seal:
        """Seal the file, once it has its final name."""
        return Seal.of(self._fd)

    def close(self) -> None:
        os.close(self._fd)


def _free(descriptor: int) -> float:
    """The bytes that are free on the disk of a file.

    A file system without a size, like ramfs, says nothing of its room: then the write decides.
    """
    disk = os.fstatvfs(descriptor)
    return disk.f_bavail * disk.f_frsize if disk.f_blocks else math.inf


@dataclass(frozen=True)
class Seal:
    """What Linux says of a file whose bytes are verified. Who writes to the file, or replaces it,
    breaks the seal. A new mode or owner does not.

    :ivar written: the time of the last write, in ns.
    """

    inode: int
    size: int
    written: int

    @classmethod
    def of(cls, file: Path | int) -> Seal:
        """Look at a file, by its path or a descriptor."""
        found = os.stat(file)
        return cls(found.st_ino, found.st_size, found.st_mtime_ns)

    def broken(self, path: Path) -> bool:
        """Whether the file at this path is another one now, or has other bytes."""
        try:
            return Seal.of(path) != self
        except OSError:
            return True


@dataclass(frozen=True)
class Stored:
    """A downloaded file and its SHA-256.

    Both methods may raise ``OSError``, and :class:`Stopped` when ``wanted`` returns false.
    """

    path: Path
    size: int
    sha256: str
    wanted: Callable[[], bool]

    def digest(self, name: str) -> bytes:
        """Return the digest by an algorithm of hashlib. Reads the file unless it is SHA-256."""
        if name == "sha256":
            return bytes.fromhex(self.sha256)
        return hash_file(self.path, self.size, self.wanted, name).digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        """Call ``check`` with the whole content.

        The file is mapped, because Ed25519 reads its message twice and the system can take mapped
        memory back.
        """
        if not self.size:
            check(b"")
            return
        descriptor = open_private(self.path, os.O_RDONLY)
        try:
            with mmap.mmap(descriptor, self.size, prot=mmap.PROT_READ) as content:
                check(content)  # type: ignore[arg-type]
        finally:
            os.close(descriptor)


def hash_file(
    path: Path, length: int, wanted: Callable[[], bool], algorithm: str = "sha256"
) -> _Hash:
    """Hash the first ``length`` bytes of a file.

    :raises Stopped: when ``wanted`` returns false.
    :raises OSError: also if the file is shorter.
    """
    digest = hashlib.new(algorithm)
    with open(open_private(path, os.O_RDONLY), "rb", buffering=0) as stream:
        while length > 0:
            if not wanted():
                raise Stopped
            chunk = stream.read(min(length, CHUNK))
            if not chunk:
                raise OSError(f"{path.name} is shorter than it was")
            digest.update(chunk)
            length -= len(chunk)
    return digest
