"""A partial file in the light of its job: what it is part of, and whether it is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from upparat.job import Job
from upparat.linux import read_boot_id
from upparat.storage.directory import Note

from .response import Body, ResumePoint
from .url import url_path


class DiskError(Exception):
    """An :class:`OSError` of the disk, to tell it from those that Twisted raises for the net."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class FileMismatch(Exception):
    """The bytes are not those of the job's file; the message says how."""


class StartOver(Exception):
    """Only the whole file can help, but others have a part of it already."""


@contextmanager
def disk() -> Iterator[None]:
    """Makes a :class:`DiskError` of an ``OSError``."""
    try:
        yield
    except OSError as error:
        raise DiskError(error) from error


class Sink(Protocol):
    """Where the bytes go, and what is known of those that are there. It may raise ``OSError``."""

    length: int

    @property
    def sha256(self) -> str:
        """The SHA-256 of what is there, in hexadecimal digits."""

    def read_note(self) -> Note:
        """What is known; an empty note if nothing is."""

    def write_note(self, note: Note) -> None:
        """Remember it."""

    def start_over(self) -> None:
        """Forget the bytes that are there.

        :raises StartOver: if nobody can.
        """

    def make_room(self, total: int) -> None:
        """Expect so many bytes in all."""


class PartialDownload:
    """What is there, in the light of the job. Every method may raise :class:`DiskError`."""

    def __init__(self, job: Job, part: Sink) -> None:
        self.job = job
        self.part = part
        self._note = part.read_note()
        self._boot_id = read_boot_id()

    @property
    def length(self) -> int:
        return self.part.length

    @property
    def total(self) -> int | None:
        """How long the file is, from the job or else from the server."""
        return self.job.size if self.job.size is not None else self._note.total

    @property
    def full(self) -> bool:
        return self.length == self.total

    @property
    def proven(self) -> bool:
        """Whether this is the very file that the job's document tells from any other."""
        return self.job.sha256 is not None and self.part.sha256 == self.job.sha256

    @property
    def held(self) -> ResumePoint:
        """What a request can build upon: without an ETag another file of the same size could not
        be told from it, unless the digest will tell."""
        held = ResumePoint(self.length, self._note.etag, self._note.total)
        telling = bool(held.etag) or self.job.digested
        return held if held.resumable and telling else ResumePoint()

    @property
    def continuable(self) -> bool:
        """Whether what another run has left may be part of the job's file.

        A part is synced when it is complete: after a power cut it may hold zeros, which only the
        digest of the job can tell.
        """
        note = self._note
        return (
            self.held.resumable
            and (self.job.digested or note.boot_id == self._boot_id)
            and note.path == url_path(self.job.file)
            and note.total in (None, self.total)
            and (self.total is None or self.length <= self.total)
        )

    def start_over(self) -> None:
        self._note = Note()
        if self.length:
            with disk():
                self.part.start_over()

    def begin(self, body: Body) -> None:
        """Make ready for the body that follows.

        :raises Wrong: if it cannot be the job's file.
        :raises DiskError: also if it will not fit.
        """
        if body.offset == 0:
            self.start_over()
        if body.total is not None and self.job.size not in (None, body.total):
            raise FileMismatch(f"size: expected {self.job.size} bytes, the server has {body.total}")
        path, boot_id = url_path(self.job.file), self._boot_id
        self._remember(Note(path, body.etag, body.total, boot_id=boot_id))
        if self.total is not None:
            with disk():
                self.part.make_room(self.total)

    def expect(self, length: int) -> None:
        """:raises Wrong: if that is more than the file can have."""
        if self.total is not None and length > self.total:
            raise FileMismatch(f"size: expected {self.total} bytes, the server sends more")

    def check(self) -> None:
        """:raises Wrong: if what is there is not the job's file."""
        if problem := wrong(self.job, self.length, self.part.sha256):
            raise FileMismatch(problem)

    @property
    def complete_note(self) -> Note:
        """What is to be remembered of the whole file."""
        return Note(url_path(self.job.file), self._note.etag, self.length, self.part.sha256)

    def _remember(self, note: Note) -> None:
        if note != self._note:
            with disk():
                self.part.write_note(note)
            self._note = note


def wrong(job: Job, size: int, digest: str) -> str:
    """In what a file differs from what the job says; empty if in nothing."""
    if job.size is not None and size != job.size:
        return f"size: expected {job.size} bytes, got {size}"
    if job.sha256 is not None and digest != job.sha256:
        return f"sha256: expected {job.sha256}, got {digest}"
    return ""
