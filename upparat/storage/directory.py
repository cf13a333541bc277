"""Where downloads lie: names, partial files and the notes that belong to them.

In the download directory, an execution has up to three files:
``<job>.<number>.<queued at>.part`` while it grows, ``<job>`` when it is complete, and
``<job>.<number>.<queued at>.json``, the note that makes the part resumable and the complete file
known as ours. A job id holds no dot, so that no name can be taken for another kind.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from upparat.job import ExecutionKey

_JOB_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_NAME = re.compile(r"([a-zA-Z0-9_-]{1,64})\.(0|[1-9]\d*)\.(0|[1-9]\d*)\.(?:part|json|json\.new)")


class UnsafePath(Exception):
    """A name or a directory that cannot be used safely; the message says which and why."""


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
        with open(open_private(new, os.O_WRONLY | os.O_TRUNC), "wb") as stream:
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
            raise UnsafePath(f"the job id {key.job_id!r} cannot be the name of a file")
        if key.number < 0 or key.queued_at < 0:
            raise UnsafePath("a negative execution number or time cannot be part of a file's name")
        return Files(self.directory, key)

    def prepare(self) -> None:
        """Create the directory, for us alone, or check that nobody else can have planted it.

        :raises Refused: if it belongs to another user than us or root.
        """
        self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for found in (self.directory.lstat(), self.directory.stat()):
            if found.st_uid not in (0, os.geteuid()):
                raise UnsafePath(f"{self.directory} belongs to another user")

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


def _parse(content: bytes) -> Note:
    """:raises ValueError or TypeError: if it is no note."""
    note = Note(**json.loads(content))
    texts = (note.path, note.etag, note.digest, note.boot_id)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is something else")
    if note.total is not None and type(note.total) is not int:
        raise TypeError("the total is no number")
    return note


def open_private(path: Path, flags: int, *, create: bool = True) -> int:
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
