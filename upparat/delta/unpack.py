"""Chunks out of packed bytes: each is checked, and never grows beyond its length."""

from __future__ import annotations

from collections.abc import Iterator

from .header import MAX_CHUNK, Chunk, DeltaError, Header
from .plan import Span


def load_zstd() -> None:
    """Import the library, which an agent without deltas does without. Call it in a thread.

    :raises ImportError: if it is missing, or does not work here.
    """
    import zstandard  # noqa: F401


def unpack_span(header: Header, span: Span, data: bytes) -> Iterator[bytes]:
    """Yield the chunks of a span.

    :param data: the bytes of the zchunk file from ``span.begin`` to ``span.end``.
    :raises DeltaError: if one is not what the header says.
    """
    view = memoryview(data)
    for chunk in header.chunks[span.first : span.last]:
        yield unpack(header, chunk, view[chunk.begin - span.begin : chunk.end - span.begin])


def unpack(header: Header, chunk: Chunk, data: bytes | memoryview) -> bytes:
    """Return the bytes that a chunk holds.

    :raises DeltaError: if it is not the chunk of the header, or holds more than its length.
    """
    if header.checksum.of(data) != chunk.packed_digest:
        raise DeltaError(f"the chunk at byte {chunk.begin} is damaged")
    content = _unzstd(data, chunk.length) if header.packed else bytes(data)
    if len(content) != chunk.length or header.checksum.of(content) != chunk.digest:
        raise DeltaError(f"the chunk at byte {chunk.begin} holds other bytes than it says")
    return content


def _unzstd(data: bytes | memoryview, length: int) -> bytes:
    """Unpack ``length`` bytes, and one more if there are more."""
    import zstandard

    unpacker = zstandard.ZstdDecompressor(max_window_size=2 * MAX_CHUNK)
    try:
        with unpacker.stream_reader(data, read_across_frames=False) as reader:
            content: bytes = reader.read(length + 1)
    except zstandard.ZstdError:
        raise DeltaError("a chunk is not packed by zstd") from None
    return content
