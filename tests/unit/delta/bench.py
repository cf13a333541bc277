"""Zchunk files made in the test, as ``zck`` writes them."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Sequence

import zstandard

from upparat.delta.header import MAGIC, parse_header
from upparat.delta.tables import Table, short, table_of


def number(value: int) -> bytes:
    """A compressed integer."""
    digits = bytearray()
    while value > 0x7F:
        digits.append(value & 0x7F)
        value >>= 7
    return bytes([*digits, value | 0x80])


def digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def entry(packed: bytes, plain: bytes) -> bytes:
    return digest(packed) + digest(plain) + number(len(packed)) + number(len(plain))


def zchunk(
    chunks: Sequence[bytes],
    *,
    packed: Sequence[bytes] | None = None,
    flags: int = 4,
    index: bytes | None = None,
    count: int | None = None,
    kind: int = 2,
    optional: bytes = b"",
) -> bytes:
    """A zchunk file; most keywords make it wrong.

    :param kind: of compression.
    :param optional: elements that no reader needs to know.
    """
    bodies = [zstandard.compress(each) for each in chunks] if packed is None else packed
    empty = bytes(64) + number(0) + number(0)
    entries = empty + b"".join(map(entry, bodies, chunks))
    if index is None:
        index = number(1) + number(len(chunks) + 1 if count is None else count) + entries
    data = b"".join(bodies)
    preface = digest(data) + number(flags) + number(kind) + optional
    header = preface + number(len(index)) + index + number(0)
    return lead(header) + header + data


def lead(header: bytes, size: int | None = None) -> bytes:
    begin = MAGIC + number(1) + number(len(header) if size is None else size)
    return begin + digest(begin + header)


def summed(chunks: Sequence[bytes]) -> Table:
    """The table of a file of which every chunk's sum is known."""
    header = parse_header(zchunk(chunks))
    sums = map(zlib.crc32, chunks)
    return table_of(header, dict(zip(map(short, header.chunks), sums, strict=True)))
