"""How much of a file was fetched."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from upparat.relay.coverage import MAX_PARTS, Coverage

PARTS = st.lists(st.tuples(st.integers(0, 60), st.integers(1, 20)), max_size=30)


class CoverageTests(SynchronousTestCase):
    @given(PARTS)
    def test_each_byte_counts_once(self, parts: list[tuple[int, int]]) -> None:
        coverage, seen = Coverage(), set[int]()
        for begin, size in parts:
            coverage.add(begin, begin + size)
            seen |= set(range(begin, begin + size))
            self.assertEqual(coverage.length, len(seen))

    def test_memory_is_bounded(self) -> None:
        coverage = Coverage()
        for each in range(MAX_PARTS + 5):
            coverage.add(each * 10, each * 10 + 1)
        self.assertEqual(coverage.length, MAX_PARTS)
        coverage.add(0, 20)
        self.assertEqual(coverage.length, MAX_PARTS - 2 + 20)
