"""The data of the machine."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import execution
from tests.unit.machine.bench import IN_PROGRESS, QUEUED, summary
from upparat.machine.model import Selection


class SelectionTests(SynchronousTestCase):
    def test_the_first_one_is_next(self) -> None:
        first, second = summary("a", IN_PROGRESS), summary("b")
        self.assertEqual(Selection([first, second]).next, first)
        self.assertIsNone(Selection([]).next)
        self.assertFalse(Selection([first]).full)

    def test_queued_ones_do_not_matter_while_ours_is_in_progress(self) -> None:
        ours = [execution("a", IN_PROGRESS)]
        self.assertIsNone(Selection([summary("b", QUEUED)], ours).next)
        other = summary("c", IN_PROGRESS)
        self.assertEqual(Selection([other, summary("b")], ours).next, other)
