"""The tables of chunks: kept, bounded, and never believed when damaged."""

from __future__ import annotations

import hashlib
import struct
import zlib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import summed, zchunk
from upparat.delta.header import MAX_CHUNKS, parse_header
from upparat.delta.tables import KEPT, ChunkTables, places, short, table_of

TABLES = [
    table_of(parse_header(zchunk([b"%d" % each * 50, b"same" * 9]))) for each in range(KEPT + 1)
]


class TableTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.tables = ChunkTables(self.directory)

    def test_the_newest_come_first(self) -> None:
        self.assertEqual(self.tables.load(), [])
        for table in TABLES:
            self.tables.add(table)
        self.assertEqual(self.tables.load(), TABLES[:0:-1])

    def test_a_known_table_moves_to_the_front(self) -> None:
        for table in (*TABLES[:2], TABLES[0]):
            self.tables.add(table)
        self.assertEqual(self.tables.load(), [TABLES[0], TABLES[1]])

    def test_one_table_of_a_file_is_enough(self) -> None:
        """The newest one, whatever sums it knows."""
        chunks = [b"0" * 50, b"same" * 9]
        for table in (TABLES[0], summed(chunks), TABLES[1], TABLES[0]):
            self.tables.add(table)
        self.assertEqual(self.tables.load(), [TABLES[0], TABLES[1]])

    def test_a_damaged_file_is_none(self) -> None:
        self.tables.add(TABLES[0])
        path = self.directory / "tables"
        content = path.read_bytes()
        for wrong in (b"", content[:-1], content + b"x", content.replace(b"chunks", b"things")):
            path.write_bytes(wrong)
            self.assertEqual(self.tables.load(), [])

    def test_a_table_of_too_many_chunks_is_none(self) -> None:
        self.tables.add(TABLES[0])
        path = self.directory / "tables"
        magic, body = path.read_bytes()[:17], struct.pack("<I", MAX_CHUNKS + 1)
        path.write_bytes(magic + hashlib.sha256(body).digest() + body)
        self.assertEqual(self.tables.load(), [])

    def test_places(self) -> None:
        chunks = [b"0" * 50, b"same" * 9]
        second = short(parse_header(zchunk(chunks)).chunks[1])
        self.assertEqual(list(places(TABLES[0], {second})), [(second, 50, 0)])
        known = zlib.crc32(chunks[1])
        self.tables.add(summed(chunks))
        [table] = self.tables.load()
        self.assertEqual(list(places(table, {second})), [(second, 50, known)])
