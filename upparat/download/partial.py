"""A partial download, measured against its job: what can be resumed, and what is right."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from upparat.disk import disk_work
from upparat.job import Job
from upparat.linux import read_boot_id
from upparat.storage.directory import Note

from .response import Body, ResumePoint
from .url import url_path


class DiskError(Exception):
    """An :class:`OSError` of the disk; Twisted raises ``OSError`` for the network as well."""

    def __init__(self, error: OSError) -> None:
        super().__init__(str(error))
        self.error = error


class FileMismatch(Exception):
    """The bytes are not those of the job's file; the message says how they differ."""


class CannotRestart(Exception):
    """The download must restart from byte 0, but bytes were already passed to the install hook and
    cannot be taken back."""


@contextmanager
def disk_errors() -> Iterator[None]:
    """Turn an ``OSError`` into a :class:`DiskError`."""
    try:
        with disk_work():
            yield
    except OSError as error:
        raise DiskError(error) from error


class Sink(Protocol):
    """Takes the bytes, and remembers facts about them. Every method may raise ``OSError``."""

    length: int

    @property
    def sha256(self) -> str:
        """The SHA-256 of the bytes so far, in hexadecimal digits."""

    def read_note(self) -> Note:
        """The remembered facts; an empty note if there are none."""

    def write_note(self, note: Note) -> None:
        """Remember these facts."""

    def start_over(self) -> None:
        """Discard all bytes.

        :raises CannotRestart: if they cannot be taken back.
        """

    def make_room(self, total: int) -> None:
        """Expect so many bytes in all."""


class PartialDownload:
    """The bytes of a job's file so far. Every method may raise :class:`DiskError`."""

    def __init__(self, job: Job, part: Sink) -> None:
        self.job = job
        self.part = part
        self._note = part.read_note()
        self._boot_id = read_boot_id()
        self._match = True
        self._etags_tell = False

    @property
    def length(self) -> int:
        return self.part.length

    @property
    def total(self) -> int | None:
        """The length of the file in bytes, from the job or else from the server."""
        return self.job.size if self.job.size is not None else self._note.total

    @property
    def full(self) -> bool:
        return self.length == self.total

    @property
    def proven(self) -> bool:
        """Whether the SHA-256 proves that this is the job's file."""
        return self.job.sha256 is not None and self.part.sha256 == self.job.sha256

    @property
    def judged(self) -> bool:
        """Whether the digest tells at the end what the ETags could not: it alone decides then."""
        return self.job.digested and not self._etags_tell

    @property
    def resume_point(self) -> ResumePoint:
        """The point that a request can resume at. It needs an ETag or a digest: otherwise another
        file of the same size would go unnoticed."""
        etag, total = self._note.etag if self._match else "", self._note.total
        resume_point = ResumePoint(self.length, etag, total, self.judged)
        telling = bool(resume_point.etag) or self.job.digested
        return resume_point if resume_point.resumable and telling else ResumePoint()

    @property
    def continuable(self) -> bool:
        """Whether the bytes that another run has left may be part of the job's file.

        A partial file is not synced. After a power cut it may hold zeros, which only the job's
        digest reveals. Without a digest, the bytes must have been written in this boot; an empty
        boot id proves no boot.
        """
        note = self._note
        same_boot = bool(self._boot_id) and note.boot_id == self._boot_id
        return (
            self.resume_point.resumable
            and (self.job.digested or same_boot)
            and note.path == url_path(self.job.file)
            and note.total in (None, self.total)
            and (self.total is None or self.length <= self.total)
        )

    def distrust_etags(self) -> None:
        """Resume without an ETag from now on: the servers of this file do not agree on one."""
        self._match = False

    def believe_etags(self) -> None:
        """Take note that the digest is wrong: if the ETags differed, then so did the files."""
        if not self._match:
            self._match = self._etags_tell = True

    def start_over(self) -> None:
        self._note = Note()
        if self.length:
            with disk_errors():
                self.part.start_over()

    def begin(self, body: Body) -> None:
        """Make ready for the body that follows.

        :raises FileMismatch: if it cannot be the job's file.
        :raises DiskError: also if it will not fit.
        """
        if body.offset == 0:
            self.start_over()
        if body.total is not None and self.job.size not in (None, body.total):
            raise FileMismatch(f"size: expected {self.job.size} bytes, the server has {body.total}")
        path, etag = url_path(self.job.file), body.etag if self._match else ""
        self._remember(Note(path, etag, body.total, boot_id=self._boot_id))
        if self.total is not None:
            with disk_errors():
                self.part.make_room(self.total)

    def expect(self, length: int) -> None:
        """:raises FileMismatch: if that is more than the file can have."""
        if self.total is not None and length > self.total:
            raise FileMismatch(f"size: expected {self.total} bytes, the server sends more")

    def check(self) -> None:
        """:raises FileMismatch: if what is there is not the job's file."""
        if problem := mismatch(self.job, self.length, self.part.sha256):
            raise FileMismatch(problem)

    @property
    def complete_note(self) -> Note:
        """The note on the complete file."""
        return Note(url_path(self.job.file), self._note.etag, self.length, self.part.sha256)

    def _remember(self, note: Note) -> None:
        if note != self._note:
            with disk_errors():
                self.part.write_note(note)
            self._note = note


def mismatch(job: Job, size: int, digest: str) -> str:
    """How the size or the SHA-256 of a file differs from the job's; empty if they do not."""
    if job.size is not None and size != job.size:
        return f"size: expected {job.size} bytes, got {size}"
    if job.sha256 is not None and digest != job.sha256:
        return f"sha256: expected {job.sha256}, got {digest}"
    return ""
