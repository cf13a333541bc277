"""The log of one execution in bounded files: its beginning, and its end.

The first segment holds the beginning. Later ones are dropped but for the last two. Each has the
number of bytes before it in its name, so no other file has to say what is gone, and a power cut can
tear at most the last line.
"""

from __future__ import annotations

import errno
import os

from upparat.disk import disk_work
from upparat.private import open_private

from .directory import LogDirectory, LogName

HEAD = 128 * 1024
"""Bytes of the beginning that are kept."""

SEGMENT = 64 * 1024
"""Bytes of each of the :data:`LAST` segments of the end."""

LAST = 2

LONGEST = 16 * 1024
"""Bytes of one append that are kept: a line with its traceback."""


class BoundedLog:
    """Appends to the log of one execution. Nothing is synced.

    Every method may raise :class:`OSError`; the next append then tries anew.
    """

    def __init__(self, directory: LogDirectory, name: LogName) -> None:
        self._directory = directory
        self.name = name
        self._descriptor: int | None = None
        self._offset = self._size = 0
        self._torn = False

    def append(self, data: bytes) -> None:
        """Append lines; ``data`` ends with a line end."""
        if len(data) > LONGEST:
            data = data[: LONGEST - 1] + b"\n"
        with disk_work():
            descriptor = self._descriptor
            if descriptor is None:
                descriptor = self._open((self._directory.segments(self.name) or [0])[-1])
            if self._size and self._size + self._torn + len(data) > self._room:
                descriptor = self._rotate()
            self._write(descriptor, data)

    def close(self) -> None:
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def _room(self) -> int:
        return SEGMENT if self._offset else HEAD

    def _open(self, offset: int) -> int:
        self.close()
        files = self._directory.files
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT
        with files.opened() as directory:
            path = files.path / self.name.segment(offset)
            descriptor = self._descriptor = open_private(path, flags, directory=directory)
        self._offset, self._size = offset, os.fstat(descriptor).st_size
        self._torn = self._size > 0 and os.pread(descriptor, 1, self._size - 1) != b"\n"
        return descriptor

    def _rotate(self) -> int:
        descriptor = self._open(self._offset + self._size)
        for offset in self._directory.segments(self.name)[1:-LAST]:
            self._directory.files.remove(self.name.segment(offset))
        return descriptor

    def _write(self, descriptor: int, data: bytes) -> None:
        """Write a line. One that an earlier agent or a full disk has torn gets its end before."""
        data = b"\n" + data if self._torn else data
        written = os.write(descriptor, data)
        self._size += written
        self._torn = data[written - 1 : written] != b"\n"
        if written < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def read_log(directory: LogDirectory, name: LogName) -> bytes:
    """Read what is kept of a log. A line says how many bytes are gone, where any are.

    :raises OSError: if it cannot be read.
    """
    parts: list[bytes] = []
    end = 0
    for offset in directory.segments(name):
        content = directory.files.read(name.segment(offset))
        if offset > end:
            parts.append(f"… {offset - end} bytes are gone …\n".encode())
        end = offset + len(content)
        # A file system may put zeros in place of what a power cut has kept it from writing.
        content = content.replace(b"\0", b"")
        parts.append(content if content.endswith(b"\n") or not content else content + b"\n")
    return b"".join(parts)
