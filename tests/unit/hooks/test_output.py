"""Output split into lines."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.hooks.output import HALF, Lines


class LineTests(SynchronousTestCase):
    def test_long_line_keeps_both_ends(self) -> None:
        lines = Lines()
        for _ in range(1000):
            self.assertEqual(lines.feed(b"a" * HALF), [])
        lines.feed(b"b" * HALF)
        self.assertEqual(lines.feed(b"\nnext\n"), ["a" * HALF + " … " + "b" * HALF, "next"])

    def test_line_that_just_fits(self) -> None:
        lines = Lines()
        line = "a" * HALF + "b" * HALF
        for byte in line.encode():
            lines.feed(bytes([byte]))
        self.assertEqual(lines.flush(), [line])
        self.assertEqual(lines.flush(), [])

    def test_omission_is_forgotten(self) -> None:
        lines = Lines()
        lines.feed(b"x" * 3 * HALF)
        lines.flush()
        lines.feed(b"y" * 2 * HALF)
        self.assertEqual(lines.flush(), ["y" * 2 * HALF])
