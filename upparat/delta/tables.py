"""The tables of the chunks that were installed last: where a seed may have which chunk."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from upparat.private import PrivateDirectory

from .header import MAX_CHUNKS, Header

KEPT = 8
"""Tables that are kept. The version that runs has to be among them, also after updates that the
device has fetched and not kept. One takes 20 bytes for a chunk: 350 KB for an image of 900 MiB."""

SHORT = 16
"""Bytes of a digest that a table keeps. They only say where to look: what a seed has is hashed."""

_NAME = "tables"
_MAGIC = b"upparat chunks 1\n"
_ENTRY = struct.Struct(f"<I{SHORT}s")
_COUNT = struct.Struct("<I")


def table_of(header: Header) -> bytes:
    """The table of a file: the length and the beginning of the digest of each chunk, in order."""
    return b"".join(
        _ENTRY.pack(chunk.length, chunk.digest[:SHORT].ljust(SHORT, b"\0"))
        for chunk in header.chunks
    )


def places(table: bytes, wanted: Collection[bytes]) -> Iterator[tuple[bytes, int]]:
    """Yield each wanted digest of a table, with the offset of its chunk.

    :param wanted: digests, cut to :data:`SHORT` bytes.
    """
    offset = 0
    for length, digest in _ENTRY.iter_unpack(table):
        if digest in wanted:
            yield digest, offset
        offset += length


class ChunkTables:
    """The tables in the state directory, in a file of the agent's own.

    They are bounded by :data:`KEPT` and :data:`.header.MAX_CHUNKS`. A damaged file counts as none.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = PrivateDirectory(directory)

    def load(self) -> list[bytes]:
        """Return the tables, the newest first; none if they cannot be read."""
        try:
            return _decoded(self._directory.read(_NAME))
        except (OSError, ValueError, struct.error):
            return []

    def add(self, table: bytes) -> None:
        """Put a table before the others, and forget the oldest.

        :raises OSError: if it cannot be written.
        """
        tables = [table, *(each for each in self.load() if each != table)][:KEPT]
        self._directory.replace(_NAME, _encoded(tables))


def _encoded(tables: Iterable[bytes]) -> bytes:
    body = b"".join(_COUNT.pack(len(each) // _ENTRY.size) + each for each in tables)
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decoded(content: bytes) -> list[bytes]:
    """:raises ValueError: if the file is damaged."""
    begin = len(_MAGIC) + hashlib.sha256().digest_size
    body, position = content[begin:], 0
    tables: list[bytes] = []
    if content[:begin] != _MAGIC + hashlib.sha256(body).digest():
        raise ValueError("the tables are damaged")
    while position < len(body) and len(tables) < KEPT:
        (count,) = _COUNT.unpack_from(body, position)
        position += _COUNT.size
        if count > MAX_CHUNKS:
            raise ValueError("a table is too long")
        tables.append(body[position : position + count * _ENTRY.size])
        position += count * _ENTRY.size
    return tables
