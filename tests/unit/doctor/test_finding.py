"""Findings: one line each, and the exit status of all."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.doctor.finding import exit_status, failed, ok, skipped, warning


class FindingTests(SynchronousTestCase):
    def test_a_line(self) -> None:
        self.assertEqual(str(ok("clock", "it is noon")), "ok      clock: it is noon")
        line = str(failed("dns", "no such name", "Check it"))
        self.assertEqual(line, "failed  dns: no such name. Check it")

    def test_the_worst_decides(self) -> None:
        good, bad, worse = ok("a", "b"), warning("a", "b", "c"), failed("a", "b", "c")
        self.assertEqual(exit_status([]), 0)
        self.assertEqual(exit_status([good, skipped("a", "b")]), 0)
        self.assertEqual(exit_status([good, bad]), 1)
        self.assertEqual(exit_status([worse, bad, good]), 2)
