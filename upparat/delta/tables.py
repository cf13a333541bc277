"""The tables of the chunks that were installed last: where a seed may have which chunk."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from upparat.private import PrivateDirectory

from .header import MAX_CHUNKS, Chunk, Header

KEPT = 8
"""Tables that are kept. The version that runs has to be among them, also after updates that the
device has fetched and not kept. One takes 24 bytes for a chunk: 420 KB for an image of 900 MiB."""

SHORT = 16
"""Bytes of a digest that a table keeps. They only say where to look: what a seed has is checked."""

_NAME = "tables"
_MAGIC = b"upparat chunks 2\n"
_CHUNK = struct.Struct(f"<I{SHORT}s")
_SUM = _COUNT = struct.Struct("<I")


class Table(NamedTuple):
    """The chunks of one file, in order.

    :ivar chunks: the length and the beginning of the digest of each.
    :ivar sums: the CRC-32 of each; 0 where it is not known.
    """

    chunks: bytes
    sums: bytes


def table_of(header: Header, sums: Mapping[bytes, int] = MappingProxyType({})) -> Table:
    """The table of a file.

    :param sums: what is known of them: the CRC-32 of each chunk by :func:`short`.
    """
    digests = [short(chunk) for chunk in header.chunks]
    lengths = (chunk.length for chunk in header.chunks)
    return Table(
        b"".join(map(_CHUNK.pack, lengths, digests)),
        b"".join(_SUM.pack(sums.get(digest, 0)) for digest in digests),
    )


def short(chunk: Chunk) -> bytes:
    """The beginning of a chunk's digest, :data:`SHORT` bytes long."""
    return chunk.digest[:SHORT].ljust(SHORT, b"\0")


def places(table: Table, wanted: Collection[bytes]) -> Iterator[tuple[bytes, int, int]]:
    """Yield each wanted digest of a table, with the offset and the sum of its chunk.

    :param wanted: digests, each as :func:`short` makes it.
    """
    offset = 0
    chunks, sums = _CHUNK.iter_unpack(table.chunks), _SUM.iter_unpack(table.sums)
    for (length, digest), (known,) in zip(chunks, sums, strict=True):
        if digest in wanted:
            yield digest, offset, known
        offset += length


class ChunkTables:
    """The tables in the state directory, in a file of the agent's own.

    They are bounded by :data:`KEPT` and :data:`.header.MAX_CHUNKS`. A damaged file counts as none.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = PrivateDirectory(directory)

    def load(self) -> list[Table]:
        """Return the tables, the newest first; none if they cannot be read."""
        try:
            return _decoded(self._directory.read(_NAME))
        except (OSError, ValueError, struct.error):
            return []

    def add(self, table: Table) -> None:
        """Put a table before the others, and forget the oldest.

        :raises OSError: if it cannot be written.
        """
        tables = [table, *(each for each in self.load() if each.chunks != table.chunks)][:KEPT]
        self._directory.replace(_NAME, _encoded(tables))


def _encoded(tables: Iterable[Table]) -> bytes:
    body = b"".join(
        _COUNT.pack(len(each.chunks) // _CHUNK.size) + each.chunks + each.sums for each in tables
    )
    return _MAGIC + hashlib.sha256(body).digest() + body


def _decoded(content: bytes) -> list[Table]:
    """:raises ValueError: if the file is damaged."""
    begin = len(_MAGIC) + hashlib.sha256().digest_size
    body, position = content[begin:], 0
    tables: list[Table] = []
    if content[:begin] != _MAGIC + hashlib.sha256(body).digest():
        raise ValueError("the tables are damaged")
    while position < len(body) and len(tables) < KEPT:
        (count,) = _COUNT.unpack_from(body, position)
        position += _COUNT.size
        if count > MAX_CHUNKS:
            raise ValueError("a table is too long")
        middle = position + count * _CHUNK.size
        end = middle + count * _SUM.size
        tables.append(Table(body[position:middle], body[middle:end]))
        position = end
    return tables
