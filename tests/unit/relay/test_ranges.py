"""What a request asks for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from upparat.relay.ranges import ByteRange, Unsatisfiable, requested


class RangeTests(SynchronousTestCase):
    def test_good(self) -> None:
        for header, begin, end in (
            ("bytes=0-0", 0, 1),
            ("bytes=2-4", 2, 5),
            ("bytes=2-", 2, 10),
            ("BYTES= 2-99 ", 2, 10),
            ("bytes=-3", 7, 10),
            ("bytes=-99", 0, 10),
        ):
            self.assertEqual(requested(header, 10), ByteRange(begin, end), header)

    def test_the_whole_file(self) -> None:
        for header in (
            *(None, "", "bytes=-", "bytes=5-4", "bytes=a-b", "bytes=1-2,4-5", "lines=1-2"),
            f"bytes=0-{'9' * 30}",
        ):
            self.assertIsNone(requested(header, 10), header)

    def test_no_such_bytes(self) -> None:
        for header in ("bytes=10-", "bytes=10-20", "bytes=-0"):
            self.assertRaises(Unsatisfiable, requested, header, 10)
        self.assertRaises(Unsatisfiable, requested, "bytes=0-", 0)

    def test_the_header_of_the_response(self) -> None:
        self.assertEqual(ByteRange(2, 5).content_range(10), "bytes 2-4/10")
        self.assertEqual(ByteRange(2, 5).size, 3)

    @given(st.text(), st.integers(0, 100))
    def test_any_header(self, header: str, total: int) -> None:
        try:
            found = requested(f"bytes={header}", total)
        except Unsatisfiable:
            return
        if found is not None:
            self.assertTrue(0 <= found.begin < found.end <= total)
