"""Seeds: what they have is checked, and what they have not is nobody's fault."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import summed, zchunk
from upparat.delta.header import parse_header
from upparat.delta.seeds import Seeds
from upparat.delta.tables import short, table_of

CHUNKS = [b"a" * 40, b"b" * 50, b"c" * 60]
OLD = parse_header(zchunk(CHUNKS))
NEW = parse_header(zchunk([CHUNKS[2], b"new", CHUNKS[0]]))


class SeedTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.seed = Path(self.mktemp())
        self.seed.write_bytes(b"".join(CHUNKS))

    def seeds(self, *paths: Path) -> Seeds:
        return Seeds(paths or [self.seed], [table_of(OLD)], NEW)

    def test_known_chunks(self) -> None:
        seeds = self.seeds()
        self.assertEqual([seeds.promise(chunk) for chunk in NEW.chunks], [True, False, True])
        self.assertEqual(seeds.read(NEW.chunks), [CHUNKS[2], None, CHUNKS[0]])

    def test_a_changed_seed(self) -> None:
        """Its sums tell, or its digests."""
        for table in (table_of(OLD), summed(CHUNKS)):
            self.seed.write_bytes(b"".join([b"a" * 39, *CHUNKS[1:]]))
            seeds = Seeds([self.seed], [table], NEW)
            self.assertEqual(seeds.read(NEW.chunks), [None, None, None])
            self.seed.write_bytes(CHUNKS[0])
            self.assertEqual(seeds.read(NEW.chunks), [None, None, CHUNKS[0]])
            self.seed.unlink()
            self.assertEqual(seeds.read(NEW.chunks), [None, None, None])

    def test_a_known_sum_decides(self) -> None:
        """It takes less time than the digest."""
        wrong = {**self.learned(), short(OLD.chunks[0]): 7}
        seeds = Seeds([self.seed], [table_of(OLD, wrong)], NEW)
        self.assertEqual(seeds.read(NEW.chunks), [CHUNKS[2], None, None])

    def test_what_has_been_read_has_a_known_sum(self) -> None:
        self.assertEqual(table_of(OLD, self.learned()), summed(CHUNKS))

    def learned(self) -> dict[bytes, int]:
        seeds = Seeds([self.seed], [table_of(OLD)], OLD)
        self.assertEqual(seeds.sums, {})
        seeds.read(OLD.chunks)
        return seeds.sums

    def test_a_seed_that_cannot_be_read(self) -> None:
        seeds = self.seeds()
        self.seed.unlink()
        self.seed.mkdir()
        self.assertEqual(seeds.read(NEW.chunks), [None, None, None])

    def test_a_chunk_in_many_places(self) -> None:
        """Each table names one place. The same place of two tables is read once."""
        header = parse_header(zchunk([b"z" * 40]))
        tables = [
            table_of(parse_header(zchunk(chunks)))
            for chunks in ([b"z" * 40] * 3, [b"z" * 40], [b"other", b"z" * 40])
        ]
        read: list[int] = []

        def pread(descriptor: int, length: int, offset: int) -> bytes:
            read.append(offset)
            return b""

        self.patch(os, "pread", pread)
        self.assertEqual(Seeds([self.seed], tables, header).read(header.chunks), [None])
        self.assertEqual(read, [0, 5])

    def test_the_seed_that_has_chunks_is_asked_first(self) -> None:
        other = Path(self.mktemp())
        other.write_bytes(bytes(1000))
        seeds = self.seeds(other, self.seed)
        read: list[str] = []
        pread = os.pread

        def noted(descriptor: int, length: int, offset: int) -> bytes:
            read.append(Path(f"/proc/self/fd/{descriptor}").readlink().name)
            return pread(descriptor, length, offset)

        self.patch(os, "pread", noted)
        for _ in range(2):
            self.assertEqual(seeds.read(NEW.chunks), [CHUNKS[2], None, CHUNKS[0]])
        self.assertEqual(read, [other.name, *[self.seed.name] * 4])

    def test_chunks_at_the_places_of_the_new_file(self) -> None:
        """No table knows them."""
        self.seed.write_bytes(CHUNKS[2] + b"old" + CHUNKS[0])
        seeds = Seeds([self.seed], [], NEW)
        self.assertEqual(seeds.probe(NEW.chunks), 2)
        self.assertEqual([seeds.promise(chunk) for chunk in NEW.chunks], [True, False, True])
        self.assertEqual(seeds.read(NEW.chunks), [CHUNKS[2], None, CHUNKS[0]])

    def test_a_row(self) -> None:
        """Chunks that lie one behind the other are read at once."""
        new = parse_header(zchunk([b"new", *CHUNKS]))
        seeds = Seeds([self.seed], [table_of(OLD)], new)
        read: list[int] = []
        pread = os.pread

        def noted(descriptor: int, length: int, offset: int) -> bytes:
            read.append(length)
            return pread(descriptor, length, offset)

        self.patch(os, "pread", noted)
        self.assertEqual(seeds.read_row(new.chunks[1:]), b"".join(CHUNKS))
        self.assertEqual(seeds.read_row(new.chunks[2:3]), CHUNKS[1])
        self.assertEqual(read, [150, 50])

    def test_what_is_no_row(self) -> None:
        other = parse_header(zchunk([CHUNKS[0], CHUNKS[2]]))
        self.assertIsNone(Seeds([self.seed], [table_of(OLD)], other).read_row(other.chunks))
        seeds = Seeds([self.seed], [table_of(OLD)], OLD)
        whole = b"".join(CHUNKS)
        for content in (b"A" + whole[1:], whole[:-1] + b"C", whole[:-1], b""):
            self.seed.write_bytes(content)
            self.assertIsNone(seeds.read_row(OLD.chunks))
        self.seed.unlink()
        self.assertIsNone(seeds.read_row(OLD.chunks))

    def test_the_second_seed_has_it(self) -> None:
        first = Path(self.mktemp())
        first.write_bytes(bytes(1000))
        self.assertEqual(self.seeds(first, self.seed).read(NEW.chunks)[0], CHUNKS[2])

    def test_what_is_no_file_is_not_opened(self) -> None:
        pipe = self.mktemp()
        os.mkfifo(pipe)
        for path in (Path(pipe), Path("/dev/null"), Path("/missing"), Path("/")):
            self.assertFalse(self.seeds(path).promise(NEW.chunks[0]))
            self.assertFalse(self.seeds(path))
        self.assertTrue(self.seeds(self.seed))
