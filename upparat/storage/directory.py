"""The download directory: names of files, and the notes that belong to them.

In the download directory, an execution has up to three files:
``<job>.<number>.<queued at>.part`` while it grows, ``<job>`` when it is complete, and
``<job>.<number>.<queued at>.json``, a note. The note makes a partial file resumable, and says that
the agent has written the complete file. A job id holds no dot, so the kinds of names cannot be
mixed up.
"""

from __future__ import annotations

import json
import os
import re
import stat
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from upparat.job import ExecutionKey
from upparat.private import PrivateDirectory, open_private

_JOB_ID = re.compile(r"[a-zA-Z0-9_@-]{1,64}")
_NAME = re.compile(r"([a-zA-Z0-9_@-]{1,64})\.(0|[1-9]\d*)\.(0|[1-9]\d*)\.(?:part|json|json\.new)")


class UnsafeName(Exception):
    """A job or execution whose files could not have safe names. The message says why."""


@dataclass(frozen=True)
class Note:
    """Facts about a file: the path of its URL (without query), its strong ETag and size in bytes.

    ``etag`` is empty if the server sent none. ``digest`` (SHA-256, hexadecimal) is set once the
    file is complete and checked. ``boot_id`` names the boot in which the partial file was written;
    it is empty if unknown.
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
        """Read the note. Returns an empty one if there is none, or it cannot be parsed."""
        try:
            return _parse(self.note.read_bytes())
        except (OSError, ValueError, TypeError):
            return Note()

    def write_note(self, note: Note) -> None:
        """Replace the note.

        The note of a complete file is synced, because without it the agent would never remove the
        file. The note of a partial file is not: its loss only costs a new download.
        """
        new = self._path("json.new")
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC
        with open(open_private(new, flags), "wb") as stream:
            stream.write(json.dumps(asdict(note)).encode())
            if note.digest:
                stream.flush()
                os.fsync(stream.fileno())
        new.replace(self.note)

    def known_complete(self) -> bool:
        """True if the complete file exists and belongs to this execution."""
        note = self.read_note()
        return bool(note.digest) and _size(self.complete) == note.total

    def _completed(self) -> bool:
        """True if the note says that the file was completed, or if a power cut has torn it."""
        try:
            return bool(_parse(self.note.read_bytes()).digest)
        except FileNotFoundError:
            return False
        except (OSError, ValueError, TypeError):
            return True

    def discard(self) -> None:
        """Remove all files of the execution; the complete file only if the agent has written it."""
        ours = self._completed()
        self.part.unlink(missing_ok=True)
        if ours and _size(self.complete) is not None:
            self.complete.unlink(missing_ok=True)
        self.note.unlink(missing_ok=True)
        self._path("json.new").unlink(missing_ok=True)


class Store:
    """The download directory. Files with other names than the agent's are left alone.

    :param renew: called when the directory may be a new one, which is not locked yet.
    """

    def __init__(self, directory: Path, renew: Callable[[], None] = lambda: None) -> None:
        self.directory = directory
        self._renew = renew

    def files(self, key: ExecutionKey) -> Files:
        """Return the files of an execution.

        :raises UnsafeName: if their names would not be safe.
        """
        if not _JOB_ID.fullmatch(key.job_id):
            raise UnsafeName(f"the job id {key.job_id!r} cannot be the name of a file")
        if key.number < 0 or key.queued_at < 0:
            raise UnsafeName("a negative execution number or time cannot be part of a file's name")
        return Files(self.directory, key)

    def prepare(self) -> None:
        """Create the directory, for this user alone, or check whose it is.

        :raises NotPrivate: if others own it or can write to it: a hook reads its files by name.
        """
        PrivateDirectory(self.directory).prepare()
        self._renew()

    def clean(self, keep: ExecutionKey | None, *, complete: bool) -> None:
        """Remove the files of all executions except ``keep``.

        :param complete: whether to remove complete files as well.
        """
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
    """Parse a note.

    :raises ValueError: if the content is not JSON.
    :raises TypeError: if it is no note.
    """
    note = Note(**json.loads(content))
    texts = (note.path, note.etag, note.digest, note.boot_id)
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is something else")
    if note.total is not None and type(note.total) is not int:
        raise TypeError("the total is no number")
    return note


def _size(path: Path) -> int | None:
    """Return the size of a regular file in bytes, or ``None`` if there is none."""
    try:
        found = path.lstat()
    except OSError:
        return None
    return found.st_size if stat.S_ISREG(found.st_mode) else None
