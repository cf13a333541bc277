"""Ranges of a delta: what is fetched, and in which pieces."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.delta.bench import zchunk
from upparat.delta import plan
from upparat.delta.header import parse_header
from upparat.delta.plan import Run, Span, chunk_at, make_plan, spans_of

HEADER = parse_header(zchunk([bytes([each]) * 100 for each in range(10)]))


class PlanTests(SynchronousTestCase):
    def test_neighbours_are_one_range(self) -> None:
        spans = list(spans_of(HEADER.chunks, [2, 3, 5]))
        self.assertEqual([(span.first, span.last) for span in spans], [(2, 4), (5, 6)])
        self.assertEqual(spans[0].begin, HEADER.chunks[2].begin)
        self.assertEqual(spans[0].end, HEADER.chunks[3].end)

    def test_a_small_gap_is_fetched_along(self) -> None:
        gap = HEADER.chunks[4].packed
        self.assertEqual(len(make_plan(HEADER, [2, 3, 5], gap).spans), 1)
        self.assertEqual(len(make_plan(HEADER, [2, 3, 5], gap - 1).spans), 2)

    def test_a_range_is_bounded(self) -> None:
        [each] = {chunk.packed for chunk in HEADER.chunks}
        for most, expected in ((10 * each, 1), (5 * each, 2), (5 * each - 1, 3), (1, 10)):
            self.patch(plan, "SPAN", most)
            self.assertEqual(len(list(spans_of(HEADER.chunks, range(10)))), expected)

    def test_what_is_there_is_not_fetched(self) -> None:
        pieces = list(make_plan(HEADER, [2, 3, 5], 0).pieces(350))
        begin, end = HEADER.chunks[3].begin, HEADER.chunks[3].end
        self.assertEqual(pieces[:2], [Span(3, 4, begin, end), Run(4, 5)])

    def test_chunk_at(self) -> None:
        self.assertEqual([chunk_at(HEADER.chunks, at) for at in (0, 99, 100, 1000)], [0, 0, 1, 10])

    @given(st.sets(st.integers(0, 9)), st.integers(0, 100), st.integers(0, 1000))
    def test_pieces_are_the_rest_of_the_file(
        self, missing: set[int], gap: int, length: int
    ) -> None:
        made = make_plan(HEADER, missing, gap)
        numbers: list[int] = []
        fetched: set[int] = set()
        for piece in made.pieces(length):
            numbers += range(piece.first, piece.last)
            if isinstance(piece, Span):
                fetched |= set(range(piece.first, piece.last))
        self.assertEqual(numbers, list(range(chunk_at(HEADER.chunks, length), 10)))
        self.assertLessEqual({each for each in missing if each in numbers}, fetched)
        self.assertLessEqual(made.reused(length), length)
