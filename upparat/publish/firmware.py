"""The file of a release: its digests, and the parts that it is uploaded in."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from .request import BadArgument, FilePiece

MIB = 1024 * 1024
PART_SIZE = 8 * MIB
"""The size of a part. A file up to it is uploaded in one request."""

MOST_PARTS = 10_000
"""Parts that S3 admits for one object."""

_CHUNK = MIB


@dataclass(frozen=True)
class FirmwareFile:
    """A file as it was when it was read.

    :ivar sha256: hexadecimal, of the whole file.
    """

    path: Path
    size: int
    sha256: str
    parts: tuple[FilePiece, ...]

    @property
    def single(self) -> bool:
        """Whether one request uploads it."""
        return len(self.parts) == 1

    @property
    def s3_checksum(self) -> str:
        """The SHA-256 that S3 has of the object: of several parts, it is that of their digests."""
        if self.single:
            return self.parts[0].sha256
        digests = b"".join(base64.b64decode(part.sha256) for part in self.parts)
        return f"{_base64(hashlib.sha256(digests).digest())}-{len(self.parts)}"


def part_size(size: int) -> int:
    """Return the bytes of a part of a file. It depends on the size alone, so that a later run has
    the same parts."""
    least = -(-size // MOST_PARTS)
    return max(PART_SIZE, -(-least // MIB) * MIB)


def examine(path: Path, progress: Callable[[int, int], object] = lambda *_: None) -> FirmwareFile:
    """Read a file once, and make its digests.

    :param progress: called with the bytes that were read, and the size.
    :raises BadArgument: if it cannot be read.
    """
    try:
        with path.open("rb") as stream:
            return _examine(path, stream, progress)
    except BrokenPipeError:  # of who shows the progress
        raise
    except OSError as error:
        raise BadArgument(f"FILE: {path}: {error.strerror}") from None


def _examine(path: Path, stream: BinaryIO, progress: Callable[[int, int], object]) -> FirmwareFile:
    size = stream.seek(0, 2)
    stream.seek(0)
    whole, parts, done = hashlib.sha256(), [], 0
    while done < size:
        part = hashlib.sha256()
        length = 0
        for chunk in _chunks(stream, part_size(size)):
            whole.update(chunk)
            part.update(chunk)
            length += len(chunk)
            progress(done + length, size)
        if not length:
            raise BadArgument(f"FILE: {path} has become shorter while it was read")
        parts.append(FilePiece(path, done, length, _base64(part.digest())))
        done += length
    if not parts:
        parts.append(FilePiece(path, 0, 0, _base64(whole.digest())))
    return FirmwareFile(path, done, whole.hexdigest(), tuple(parts))


def _chunks(stream: BinaryIO, length: int) -> Iterator[bytes]:
    while length and (chunk := stream.read(min(_CHUNK, length))):
        length -= len(chunk)
        yield chunk


def _base64(digest: bytes) -> str:
    return base64.b64encode(digest).decode()
