"""Where downloads lie: names, partial files and the notes that belong to them.

In the download directory, an execution has up to three files:
``<job>.<number>.<queued at>.part`` while it grows, ``<job>`` when it is complete, and
``<job>.<number>.<queued at>.json``, the note that makes the part resumable and the complete file
known as ours. A job id holds no dot, so that no name can be taken for another kind.
"""

from __future__ import annotations

import errno
import hashlib
import json
import mmap
import os
import re
import stat
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from upparat.job import ExecutionKey
from upparat.linux import begin_writing, reserve, sync_directory

if TYPE_CHECKING:
    from hashlib import _Hash

CHUNK = 1 << 20
"""How many bytes are hashed between two looks at whether somebody still wants to know."""

SLACK = 1 << 20
"""Bytes that a download leaves free on the disk."""

HASTE = 1 << 23
"""Bytes that may be in the cache alone before they are sent to the disk, so that little is left for
the sync at the end. Few enough for that, and enough to write a flash in whole blocks."""

_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME = re.compile(r"([a-zA-Z0-9_-]{1,64})\.(0|[1-9]\d*)\.(0|[1-9]\d*)\.(?:part|json|json\.new)")


class Refused(Exception):
    """A name or a directory that cannot be used safely; the message says which and why."""


class Stopped(Exception):
    """Nobody wants to know the digest any more."""


@dataclass(frozen=True)
class Note:
    """What is known of a file: its URL's path (without query), strong ETag and size in bytes.

    ``etag`` is empty if there is none; ``digest`` (SHA-256, hexadecimal) is set once the file is
    complete and checked. ``boot_id`` is that of the boot in which the part was written.
    """

    path: str = ""
    etag: str = ""
    total: int | None = None
    digest: str = ""
    boot_id: str = ""


@dataclass(frozen=True)
class Files:
    """The files of one execution."""

    directory: Path
    key: ExecutionKey

    @property
    def part(self) -> Path:
        return self._path("part")

    @property
    def note(self) -> Path:
        return self._path("json")

    @property
    def complete(self) -> Path:
        return self.directory / self.key.job_id

    def _path(self, kind: str) -> Path:
        job_id, number, queued_at = self.key
        return self.directory / f"{job_id}.{number}.{queued_at}.{kind}"

    def read_note(self) -> Note:
        """The note; an empty one if there is none or it makes no sense."""
        try:
            return _parse(self.note.read_bytes())
        except (OSError, ValueError, TypeError):
            return Note()

    def write_note(self, note: Note) -> None:
        """Replace the note. One of a part is not synced: its loss costs a download, no more. But
        without its note nobody would know a complete file, and remove it."""
        new = self._path("json.new")
        with open(_open(new, os.O_WRONLY | os.O_TRUNC), "wb") as stream:
            stream.write(json.dumps(asdict(note)).encode())
            if note.digest:
                stream.flush()
                os.fsync(stream.fileno())
        new.replace(self.note)

    def known_complete(self) -> bool:
        """Whether there is a complete file and it is this execution's."""
        note = self.read_note()
        return bool(note.digest) and _size(self.complete) == note.total

    def _completed(self) -> bool:
        """Whether the note says that the file was completed, or a power cut has torn it."""
        try:
            return bool(_parse(self.note.read_bytes()).digest)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError):
            return True

    def discard(self) -> None:
        """Remove them all. The complete file only if it is ours."""
        ours = self._completed()
        self.part.unlink(missing_ok=True)
        if ours and _size(self.complete) is not None:
            self.complete.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self._path("json.new").unlink(missing_ok=True)


class Store:
    """The download directory. What is not named like ours is left alone."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def files(self, key: ExecutionKey) -> Files:
        """:raises Refused: if the names of this execution would not be safe."""
        if not _JOB_ID.fullmatch(key.job_id):
            raise Refused(f"the job id {key.job_id!r} cannot be the name of a file")
        if key.number < 0 or key.queued_at < 0:
            raise Refused("a negative execution number or time cannot be part of a file's name")
        return Files(self.directory, key)

    def prepare(self) -> None:
        """Create the directory, for us alone, or check that nobody else can have planted it.

        :raises Refused: if it belongs to another user than us or root.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in (self.directory.lstat(), self.directory.stat()):
            if found.st_uid not in (0, os.geteuid()):
                raise Refused(f"{self.directory} belongs to another user")

    def clean(self, keep: ExecutionKey | None, *, complete: bool) -> None:
        """Remove the files of all executions but one; complete ones only if asked."""
        for key in set(self._keys()) - {keep}:
            files = Files(self.directory, key)
            if complete or not files.known_complete():
                files.discard()

    def _keys(self) -> Iterator[ExecutionKey]:
        try:
            names = os.listdir(self.directory)
        except FileNotFoundError:
            return
        for name in names:
            if match := _NAME.fullmatch(name):
                yield ExecutionKey(match[1], int(match[2]), int(match[3]))


class Part:
    """The file that grows. All writing and hashing of a download goes through here, one call at a
    time, in whatever thread.

    Each method may raise :class:`OSError`. What was there before counts once it is hashed again.
    """

    def __init__(self, files: Files) -> None:
        self.files = files
        self._fd = _open(files.part, os.O_RDWR)
        self.length = os.fstat(self._fd).st_size
        self._sent = self.length
        self._wanted = 0
        self._expected = False
        self._hash = hashlib.sha256()

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def read_note(self) -> Note:
        return self.files.read_note()

    def write_note(self, note: Note) -> None:
        self.files.write_note(note)

    def rehash(self, wanted: Callable[[], bool]) -> None:
        """Hash what is there already. Takes its time: made to be called in a thread."""
        self._hash = hash_file(self.files.part, self.length, wanted)

    def make_room(self, total: int) -> None:
        """Look whether the disk has room for a file of ``total`` bytes, and some more.

        The room is set aside with the next write: that may take a moment.

        :raises OSError: if it has not.
        """
        found, disk = os.fstat(self._fd), os.fstatvfs(self._fd)
        missing = total - max(self.length, found.st_blocks * 512)  # what was set aside is ours
        lacking = missing + SLACK - disk.f_bavail * disk.f_frsize
        if missing > 0 and lacking > 0:
            raise OSError(errno.ENOSPC, f"the disk lacks {lacking} bytes for the file")
        self._wanted = total
        self._expected = True

    def write(self, data: bytes | bytearray) -> None:
        view, end = memoryview(data), self.length
        try:
            if not self._expected:
                self._spare(len(view))
            self._reserve()
            while view:
                # Not where the last write has ended: if that one failed, it does not count.
                written = os.pwrite(self._fd, view, end)
                view, end = view[written:], end + written
        except OSError:
            self._take_back()
            raise
        self._hash.update(data)
        self.length += len(data)
        if self.length - self._sent >= HASTE:
            begin_writing(self._fd, self._sent, self.length)
            self._sent = self.length

    def _spare(self, size: int) -> None:
        """Leave others their room, where nobody knows how much will come."""
        disk = os.fstatvfs(self._fd)
        if disk.f_bavail * disk.f_frsize < size + SLACK:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _reserve(self) -> None:
        wanted, self._wanted = self._wanted, 0
        reserve(self._fd, self.length, wanted)

    def _take_back(self) -> None:
        """What was written or set aside but not counted would stand in the way of what comes."""
        with suppress(OSError):
            os.ftruncate(self._fd, self.length)

    def start_over(self) -> None:
        os.ftruncate(self._fd, 0)
        self._hash = hashlib.sha256()
        self.length = self._sent = 0

    def syncing(self) -> Callable[[], None]:
        """What brings the file to the disk: made to be called in a thread, even after a close."""
        descriptor = os.dup(self._fd)

        def sync() -> None:
            try:
                os.fdatasync(descriptor)
            finally:
                os.close(descriptor)

        return sync

    def commit(self, note: Note) -> Path:
        """Give the synced file its final name, durably; can be tried again."""
        part, complete = self.files.part, self.files.complete
        self.files.write_note(note)
        part.replace(complete)
        try:
            sync_directory(self.files.directory)
        except OSError:
            complete.replace(part)
            raise
        return complete

    def close(self) -> None:
        os.close(self._fd)


@dataclass(frozen=True)
class Stored:
    """A file that was fetched, and its SHA-256.

    Both methods may raise ``OSError``; :class:`Stopped`, when ``wanted`` says no.
    """

    path: Path
    size: int
    sha256: str
    wanted: Callable[[], bool]

    def digest(self, name: str) -> bytes:
        """By an algorithm of hashlib; reads the file if it has to."""
        if name == "sha256":
            return bytes.fromhex(self.sha256)
        return hash_file(self.path, self.size, self.wanted, name).digest()

    def verify(self, check: Callable[[bytes], None]) -> None:
        """Call ``check`` with the whole of it.

        Ed25519 reads its message twice: mapped, it needs no memory that cannot be taken back.
        """
        if not self.size:
            check(b"")
            return
        descriptor = _open(self.path, os.O_RDONLY, create=False)
        try:
            with mmap.mmap(descriptor, self.size, prot=mmap.PROT_READ) as content:
                check(content)  # type: ignore[arg-type]
        finally:
            os.close(descriptor)


def hash_file(
    path: Path, length: int, wanted: Callable[[], bool], algorithm: str = "sha256"
) -> _Hash:
    """A digest over the first ``length`` bytes of a file.

    :raises Stopped: when ``wanted`` says no.
    :raises OSError: also if the file is shorter.
    """
    digest = hashlib.new(algorithm)
    with open(_open(path, os.O_RDONLY, create=False), "rb", buffering=0) as stream:
        while length > 0:
            if not wanted():
                raise Stopped
            chunk = stream.read(min(length, CHUNK))
            if not chunk:
                raise OSError(f"{path.name} is shorter than it was")
            digest.update(chunk)
            length -= len(chunk)
    return digest


def _parse(content: bytes) -> Note:
    """:raises ValueError or TypeError: if it is no note."""
    note = Note(**json.loads(content))
    texts = (note.path, note.etag, note.digest, note.boot_id)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is something else")
    if note.total is not None and type(note.total) is not int:
        raise TypeError("the total is no number")
    return note


def _open(path: Path, flags: int, *, create: bool = True) -> int:
    """Open without following a symbolic link at the end; what is created is for us alone."""
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_CREAT if create else 0)
    return os.open(path, flags, 0o600)


def _size(path: Path) -> int | None:
    """The size of a regular file; ``None`` if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
