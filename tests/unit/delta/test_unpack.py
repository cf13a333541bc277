"""Chunks out of packed bytes: right, or refused."""

from __future__ import annotations

import zstandard
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import zchunk
from upparat.delta.header import DeltaError, parse_header
from upparat.delta.plan import spans_of
from upparat.delta.unpack import load_zstd, unpack_span


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
