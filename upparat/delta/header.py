"""The header of a zchunk file: a bounded parser, and nothing but functions of bytes.

It follows what ``zck`` 1.2 writes, which differs from the text of the format in the order of the
lead: checksum type, header size, header checksum. See
https://github.com/zchunk/zchunk/blob/main/zchunk_format.txt.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

MAGIC = b"\0ZCK1"

LEAD = len(MAGIC) + 1 + 10 + 64
"""Bytes that a lead has at the most."""

MAX_HEADER = 1 << 24
"""Bytes of a header: those of an image of about 8 GiB."""

MAX_CHUNKS = 200_000
"""Chunks of a file. Each takes some 300 bytes of memory."""

MAX_CHUNK = 1 << 24
"""Bytes of one chunk, packed or not; ``zck`` makes none of more than 10 MiB."""

MAX_NUMBER = 1 << 62

ZSTD = 2
_STORED = 0
_STREAMS, _OPTIONAL, _UNPACKED_DIGESTS = 1, 2, 4


class DeltaError(Exception):
    """A delta cannot be used. The message says why, without a URL."""


class Checksum(NamedTuple):
    """A kind of checksum: a digest of hashlib, of which the first ``size`` bytes count."""

    name: str
    size: int

    def of(self, data: bytes | memoryview) -> bytes:
        return hashlib.new(self.name, data, usedforsecurity=False).digest()[: self.size]


CHECKSUMS = {
    0: Checksum("sha1", 20),
    1: Checksum("sha256", 32),
    2: Checksum("sha512", 64),
    3: Checksum("sha512", 16),
}


class Chunk(NamedTuple):
    """A chunk of the file. All but the digests are in bytes.

    :ivar begin: where it begins in the zchunk file, ``packed`` bytes long.
    :ivar offset: where it begins in the file, ``length`` bytes long.
    """

    begin: int
    packed: int
    packed_digest: bytes
    offset: int
    length: int
    digest: bytes

    @property
    def end(self) -> int:
        """The end of the packed bytes in the zchunk file."""
        return self.begin + self.packed


@dataclass(frozen=True)
class Lead:
    """The first bytes of a zchunk file.

    :ivar length: of the lead itself, in bytes.
    :ivar header: bytes that follow until the first chunk.
    """

    length: int
    header: int
    checksum: Checksum
    digest: bytes

    @property
    def end(self) -> int:
        """Where the header ends and the chunks begin."""
        return self.length + self.header


@dataclass(frozen=True)
class Header:
    """What a zchunk file says of itself.

    :ivar length: of the header with its lead, in bytes.
    :ivar total: of the zchunk file, in bytes.
    :ivar size: of the file that it holds, in bytes.
    :ivar checksum: the kind of the chunks' digests.
    :ivar packed: whether the chunks are packed by zstd.
    """

    length: int
    total: int
    size: int
    checksum: Checksum
    packed: bool
    chunks: tuple[Chunk, ...]


def parse_lead(data: bytes) -> Lead:
    """Parse the lead.

    :param data: the first :data:`LEAD` bytes or more; fewer if the file has no more.
    :raises DeltaError: if this is no zchunk file, or its header is too long.
    """
    if not data.startswith(MAGIC):
        raise DeltaError("this is no zchunk file")
    reader = _Reader(data, len(MAGIC))
    checksum = reader.checksum("header")
    header = reader.number("header size", MAX_HEADER)
    digest = reader.take(checksum.size)
    return Lead(reader.position, header, checksum, digest)


def parse_header(data: bytes) -> Header:
    """Parse the lead and the header.

    :param data: the file until its first chunk, or more of it.
    :raises DeltaError: if the header is damaged, too long, or of a kind that is not supported.
    """
    lead = parse_lead(data)
    if len(data) < lead.end:
        raise DeltaError("the header is cut off")
    signed = data[: lead.length - lead.checksum.size] + data[lead.length : lead.end]
    if lead.checksum.of(signed) != lead.digest:
        raise DeltaError("the header has another checksum than it says")
    reader = _Reader(data[: lead.end], lead.length)
    packed = _preface(reader, lead.checksum)
    return _index(reader, lead.end, packed)


def _preface(reader: _Reader, checksum: Checksum) -> bool:
    """Read the preface. Returns whether the chunks are packed."""
    reader.take(checksum.size)  # of all chunks together
    flags = reader.number("flags")
    if flags & _STREAMS or flags >= 2 * _UNPACKED_DIGESTS:
        raise DeltaError(f"the flags {flags:#x} are not supported")
    if not flags & _UNPACKED_DIGESTS:
        raise DeltaError("the chunks have no digests of what they hold: make it with zck -u")
    compression = reader.number("compression type")
    if compression not in (_STORED, ZSTD):
        raise DeltaError(f"the compression type {compression} is not supported")
    if flags & _OPTIONAL:
        for _ in range(reader.number("number of optional elements", MAX_CHUNKS)):
            reader.number("id of an optional element")
            reader.take(reader.number("size of an optional element"))
    return compression == ZSTD


def _index(reader: _Reader, begin: int, packed: bool) -> Header:
    size = reader.number("index size")
    index = _Reader(reader.take(size))
    checksum = index.checksum("chunk")
    count = index.number("number of chunks", MAX_CHUNKS)
    if count * 2 * (checksum.size + 1) > size:
        raise DeltaError("the index has fewer chunks than it says")
    chunks, end, length = [], begin, 0
    for number in range(count):
        chunk = index.chunk(checksum, end, length)
        end, length = chunk.end, length + chunk.length
        if not number and (chunk.packed or chunk.length):
            raise DeltaError("a dictionary is not supported")
        if chunk.length and not chunk.packed:
            raise DeltaError("a chunk has no bytes")
        if chunk.length:
            chunks.append(chunk)
    if not count or not index.over:
        raise DeltaError("the index does not fit its chunks")
    return Header(begin, end, length, checksum, packed, tuple(chunks))


class _Reader:
    """Reads one value after the other."""

    def __init__(self, data: bytes, position: int = 0) -> None:
        self._data = data
        self.position = position

    @property
    def over(self) -> bool:
        return self.position == len(self._data)

    def take(self, size: int) -> bytes:
        end = self.position + size
        if end > len(self._data):
            raise DeltaError("the header is cut off")
        data, self.position = self._data[self.position : end], end
        return data

    def number(self, what: str, most: int = MAX_NUMBER) -> int:
        """Read a compressed integer: 7 bits in each byte, the lowest first; the last byte has its
        highest bit set."""
        number = shift = 0
        data, position = self._data, self.position
        while position < len(data):
            byte = data[position]
            position += 1
            number |= (byte & 0x7F) << shift
            shift += 7
            if byte & 0x80:
                self.position = position
                if number > most:
                    raise DeltaError(f"the {what} {number} is more than {most}")
                return number
            if shift > 63:
                raise DeltaError(f"the {what} has no end")
        raise DeltaError("the header is cut off")

    def checksum(self, whose: str) -> Checksum:
        kind = self.number(f"{whose} checksum type")
        if kind not in CHECKSUMS:
            raise DeltaError(f"the {whose} checksum type {kind} is not supported")
        return CHECKSUMS[kind]

    def chunk(self, checksum: Checksum, begin: int, offset: int) -> Chunk:
        packed_digest, digest = self.take(checksum.size), self.take(checksum.size)
        packed = self.number("size of a chunk", MAX_CHUNK)
        length = self.number("length of a chunk", MAX_CHUNK)
        return Chunk(begin, packed, packed_digest, offset, length, digest)
