"""What the rules mean."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.policy.rules import StepRule


class RuleTests(SynchronousTestCase):
    def test_what_each_waits_for(self) -> None:
        for rule, asks, waits in (
            (StepRule.ALWAYS, False, False),
            (StepRule.WINDOW, False, True),
            (StepRule.ASK, True, False),
            (StepRule.ASK_OR_WINDOW, True, True),
        ):
            self.assertEqual((rule.asks, rule.waits_for_window), (asks, waits))
