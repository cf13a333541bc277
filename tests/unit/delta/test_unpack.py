"""Chunks out of packed bytes: right, or refused."""

from __future__ import annotations

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import zchunk
from tests.unit.delta.fuzzing import SEEDS, BoundedCase, damaged, dices
from upparat.delta.header import MAX_CHUNK, DeltaError, parse_header
from upparat.delta.plan import spans_of
from upparat.delta.unpack import load_zstd, unpack_span

FRAMES = [
    zstandard.compress(bytes(3000)),
    zstandard.compress(bytes(MAX_CHUNK)),
    zstandard.compress(bytes(1 << 26)),
    zstandard.ZstdCompressor(write_content_size=False).compress(bytes(10)),
    zstandard.ZstdCompressor(write_checksum=True, level=19).compress(b"ab" * 40),
]


def unpacked(data: bytes) -> list[bytes]:
    header = parse_header(data)
    (span,) = spans_of(header.chunks, range(len(header.chunks)))
    return list(unpack_span(header, span, data[span.begin : span.end]))


class UnpackTests(SynchronousTestCase):
    def test_the_library_is_there(self) -> None:
        load_zstd()

    @given(st.lists(st.binary(min_size=1, max_size=200), min_size=1, max_size=5))
    def test_any_chunks(self, chunks: list[bytes]) -> None:
        self.assertEqual(unpacked(zchunk(chunks)), chunks)

    def test_chunks_that_are_not_packed(self) -> None:
        chunks = [b"one", b"two" * 9]
        self.assertEqual(unpacked(zchunk(chunks, packed=chunks, kind=0)), chunks)

    def test_a_changed_byte(self) -> None:
        data = zchunk([b"chunk" * 10])
        self.assertRaises(DeltaError, unpacked, data[:-1] + b"?")

    def test_a_bomb_ends_at_the_length_of_its_chunk(self) -> None:
        bomb = zstandard.compress(bytes(1 << 28))
        problem = self.assertRaises(DeltaError, unpacked, zchunk([b"x" * 10], packed=[bomb]))
        self.assertIn("holds other bytes", str(problem))

    def test_a_wide_window(self) -> None:
        parameters = zstandard.ZstdCompressionParameters(window_log=27, format=0)
        packer = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
        wide = packer.compress(b"x") + packer.flush()
        self.assertRaises(DeltaError, unpacked, zchunk([b"x"], packed=[wide]))

    def test_no_zstd(self) -> None:
        self.assertRaises(DeltaError, unpacked, zchunk([b"plain"], packed=[b"plain"]))

    @given(st.binary(min_size=1, max_size=100))
    def test_any_packed_bytes(self, data: bytes) -> None:
        self.assertRaises(DeltaError, unpacked, zchunk([b"x" * 77], packed=[data]))


class DamageTests(BoundedCase):
    @given(SEEDS)
    def test_any_damaged_frames(self, seed: int) -> None:
        """The digests of the packed bytes are right: whoever signs them may mean harm."""
        for dice in dices(seed):
            frames = [damaged(dice, dice.choice(FRAMES)) for _ in range(dice.randint(1, 3))]
            length = dice.choice([1, 10, 3000, 1 << 18])
            data = zchunk([bytes(length)], packed=[b"".join(frames) or b"x"])
            try:
                [plain] = unpacked(data)
            except DeltaError:
                continue
            self.assertEqual(plain, bytes(length))
