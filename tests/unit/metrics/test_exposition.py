"""The metrics with and without prometheus-client."""

from __future__ import annotations

import sys

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.unit.control.bench import FakeAgent
from upparat.metrics.exposition import MISSING, Metrics, MetricsMissing, is_available
from upparat.metrics.tally import Tally


class ExpositionTests(SynchronousTestCase):
    def setUp(self) -> None:
        tally = Tally(Clock().seconds, "idle")
        self.metrics = Metrics(FakeAgent().agent(), tally, lambda: 0)

    def test_with_it(self) -> None:
        self.assertTrue(is_available())
        for _ in range(2):
            self.assertIn(b"upparat_connected 1.0\n", self.metrics.write("")[1])

    def test_without_it(self) -> None:
        self.addCleanup(sys.modules.update, dict(sys.modules))
        sys.modules.pop("upparat.metrics.collector", None)
        sys.modules["prometheus_client"] = None  # type: ignore[assignment]
        with self.assertRaises(MetricsMissing) as raised:
            self.metrics.write("")
        self.assertEqual(str(raised.exception), MISSING)
