"""The parser of zchunk headers: the real ``zck``, wrong headers, and any bytes."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.zchunk import changed, image, requires_zck, zck
from tests.unit.delta.bench import entry, lead, number, zchunk
from tests.unit.delta.fuzzing import SEEDS, BoundedCase, damaged, dices
from upparat.delta.header import (
    LEAD,
    MAX_CHUNK,
    MAX_CHUNKS,
    MAX_HEADER,
    DeltaError,
    parse_header,
    parse_lead,
)

CHUNKS = [b"one" * 50, b"two" * 60, b"three"]

_WHOLE = zchunk(CHUNKS)
BODY = _WHOLE[parse_lead(_WHOLE).length : parse_lead(_WHOLE).end]
"""A header without its lead."""

_LIMITS = [0, 1, 4, 42, MAX_CHUNKS, MAX_CHUNK, MAX_HEADER, 1 << 32, 1 << 62, 1 << 64]


def numbers(dice: random.Random) -> bytes:
    """A header of digests and of numbers at the limits."""
    return b"".join(
        dice.choice([number(dice.choice(_LIMITS)), bytes(32), dice.randbytes(dice.randrange(70))])
        for _ in range(dice.randrange(13))
    )


class HeaderTests(SynchronousTestCase):
    def refuses(self, data: bytes, problem: str) -> None:
        self.assertIn(problem, str(self.assertRaises(DeltaError, parse_header, data)))

    def test_chunks(self) -> None:
        data = zchunk(CHUNKS)
        header = parse_header(data)
        self.assertEqual(header.size, sum(map(len, CHUNKS)))
        self.assertEqual(header.total, len(data))
        self.assertEqual([chunk.offset for chunk in header.chunks], [0, 150, 330])
        self.assertEqual([chunk.length for chunk in header.chunks], [150, 180, 5])
        self.assertEqual(header.chunks[0].begin, header.length)

    @requires_zck
    def test_the_real_program(self) -> None:
        content = image(400_000)
        with tempfile.TemporaryDirectory() as scratch:
            data = zck(Path(scratch), content)
            other = parse_header(zck(Path(scratch), changed(content, 100_000)))
            plain = zck(Path(scratch), content, "--chunk-hash-type", "sha256")
        header = parse_header(data)
        self.assertEqual((header.size, header.total), (len(content), len(data)))
        for chunk in header.chunks:
            part = content[chunk.offset : chunk.offset + chunk.length]
            self.assertEqual(header.checksum.of(part), chunk.digest)
        same = {chunk.digest for chunk in header.chunks}
        new = [chunk for chunk in other.chunks if chunk.digest not in same]
        self.assertTrue(0 < len(new) <= 3)
        self.refuses(plain, "zck -u")

    def test_no_zchunk_file(self) -> None:
        self.refuses(b"", "no zchunk file")
        self.refuses(b"\0ZHR1" + bytes(100), "no zchunk file")

    def test_cut_off(self) -> None:
        data = zchunk(CHUNKS)
        for end in range(5, parse_header(data).length):
            self.refuses(data[:end], "cut off")

    def test_any_changed_byte_is_found(self) -> None:
        data = bytearray(zchunk(CHUNKS))
        for place in range(parse_header(bytes(data)).length):
            data[place] ^= 1
            self.assertRaises(DeltaError, parse_header, bytes(data))
            data[place] ^= 1

    def test_a_header_of_four_gib(self) -> None:
        self.refuses(lead(b"", 1 << 32), f"the header size {1 << 32} is more than {MAX_HEADER}")

    def test_a_number_without_an_end(self) -> None:
        self.refuses(b"\0ZCK1" + bytes(30), "has no end")

    def test_a_billion_chunks(self) -> None:
        self.refuses(zchunk(CHUNKS, count=10**9), f"is more than {MAX_CHUNKS}")

    def test_more_chunks_than_the_index_has(self) -> None:
        self.refuses(zchunk(CHUNKS, count=1000), "fewer chunks than it says")

    def test_a_chunk_of_an_exbibyte(self) -> None:
        start = number(1) + number(2) + bytes(64) + number(0) * 2
        for sizes in (number(1) + number(1 << 60), number(1 << 60) + number(1)):
            index = start + bytes(64) + sizes
            self.refuses(zchunk([], index=index), f"is more than {MAX_CHUNK}")

    def test_a_dictionary(self) -> None:
        index = number(1) + number(1) + entry(b"dict", b"dict")
        self.refuses(zchunk([], index=index), "dictionary")

    def test_a_chunk_without_bytes(self) -> None:
        self.refuses(zchunk([b"x"], packed=[b""]), "a chunk has no bytes")

    def test_flags(self) -> None:
        self.refuses(zchunk(CHUNKS, flags=0), "zck -u")
        self.refuses(zchunk(CHUNKS, flags=5), "flags 0x5")
        self.refuses(zchunk(CHUNKS, flags=12), "flags 0xc")

    def test_compression_types(self) -> None:
        self.refuses(zchunk(CHUNKS, kind=1), "the compression type 1 is not supported")
        self.assertFalse(parse_header(zchunk(CHUNKS, packed=CHUNKS, kind=0)).packed)
        self.assertTrue(parse_header(zchunk(CHUNKS)).packed)

    def test_optional_elements(self) -> None:
        two = number(2) + number(7) + number(3) + b"abc" + number(300) + number(0)
        header = parse_header(zchunk(CHUNKS, flags=6, optional=two))
        self.assertEqual(header.chunks[-1].length, len(CHUNKS[-1]))
        many = number(MAX_CHUNKS + 1)
        self.refuses(zchunk(CHUNKS, flags=6, optional=many), f"is more than {MAX_CHUNKS}")
        long = number(1) + number(7) + number(1 << 40)
        self.refuses(zchunk(CHUNKS, flags=6, optional=long), "cut off")

    def test_an_index_with_a_rest(self) -> None:
        index = number(1) + number(1) + bytes(64) + number(0) * 2
        self.assertEqual(parse_header(zchunk([], index=index)).chunks, ())
        self.refuses(zchunk([], index=index + b"x"), "does not fit")

    @given(st.binary(max_size=300))
    def test_any_bytes(self, data: bytes) -> None:
        for junk in (data, b"\0ZCK1" + data, lead(data) + data):
            self.assertRaises(DeltaError, parse_header, junk)

    @given(st.binary(max_size=LEAD))
    def test_any_lead(self, data: bytes) -> None:
        try:
            found = parse_lead(b"\0ZCK1" + data)
        except DeltaError:
            return
        self.assertLessEqual(found.end, LEAD + MAX_HEADER)


class DamageTests(BoundedCase):
    @given(SEEDS)
    def test_any_header_whose_checksum_is_right(self, seed: int) -> None:
        for dice in dices(seed):
            body = damaged(dice, BODY) if dice.random() < 0.7 else numbers(dice)
            try:
                header = parse_header(lead(body) + body)
            except DeltaError:
                continue
            chunks = header.chunks
            self.assertEqual(sum(each.length for each in chunks), header.size)
            most = header.total - header.length
            self.assertLessEqual(sum(each.packed for each in chunks), most)
            self.assertTrue(all(0 < each.length <= MAX_CHUNK for each in chunks))
            self.assertLessEqual(len(chunks), len(body) // 42)
