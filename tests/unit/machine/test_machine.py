"""The making of a machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import Bench
from upparat import machine


class TraceTests(SynchronousTestCase):
    def test_nobody_has_to_listen(self) -> None:
        bench = Bench()
        made = machine.make_machine(bench.core)
        made.start(None)
        self.assertEqual(bench.taken(), [("fetch",)])

    def test_changes_of_state_are_traced(self) -> None:
        moves: list[tuple[str, str, str]] = []
        bench = Bench()
        made = machine.make_machine(bench.core, lambda *move: moves.append(move))
        made.start(None)
        made.changed()  # leads to the same state
        made.pending([], [])
        self.assertEqual(
            moves, [("idle", "_tidied", "fetch_jobs"), ("fetch_jobs", "_wait", "monitor")]
        )
