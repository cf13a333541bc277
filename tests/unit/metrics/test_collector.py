"""The metrics as Prometheus reads them."""

from __future__ import annotations

import re

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.support.ports import key
from tests.unit.control.bench import FakeAgent
from upparat.job import Hook
from upparat.metrics.collector import AgentCollector, make_exposition
from upparat.metrics.tally import Tally
from upparat.snapshots import ConnectionSnapshot, EndedJob

Labels = frozenset[tuple[str, str]]


class CollectorTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.tally = Tally(self.clock.seconds, "idle")
        self.agent = FakeAgent()
        self.fetched = 0
        collector = AgentCollector(self.agent.agent(), self.tally, lambda: self.fetched)
        self.write = make_exposition(collector)

    def text(self, accept: str = "") -> str:
        return self.write(accept)[1].decode()

    def samples(self) -> dict[tuple[str, Labels], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in text_string_to_metric_families(self.text())
            for sample in family.samples
        }

    def value(self, name: str, **labels: str) -> float | None:
        return self.samples().get((name, frozenset(labels.items())))

    def test_an_agent_at_rest(self) -> None:
        self.assertEqual(self.value("upparat_agent_info", version="2.0.0", thing="device-1"), 1)
        self.assertEqual(self.value("upparat_connected"), 1)
        self.assertEqual(self.value("upparat_connections_total"), 0)
        self.assertEqual(self.value("upparat_download_bytes_total"), 0)
        self.assertEqual(self.value("upparat_state", state="idle"), 1)

    def test_without_a_connection(self) -> None:
        self.agent.connection = ConnectionSnapshot(problem="refused")
        self.tally.connected()
        self.tally.disconnected("refused")
        self.assertEqual(self.value("upparat_connected"), 0)
        self.assertEqual(self.value("upparat_connections_total"), 1)
        self.assertEqual(self.value("upparat_disconnections_total"), 1)

    def test_after_a_job(self) -> None:
        self.tally.moved("download")
        self.clock.advance(12.5)
        self.tally.moved("monitor")
        self.fetched = 100_000
        self.tally.ran(Hook.INSTALL, 0)
        self.tally.ran(Hook.INSTALL, 1)
        self.tally.ended(EndedJob(key("a"), "2.0", "FAILED", "download_failed", "none"))
        self.assertEqual(self.value("upparat_state_seconds_total", state="download"), 12.5)
        self.assertEqual(self.value("upparat_state", state="download"), 0)
        self.assertEqual(self.value("upparat_state", state="monitor"), 1)
        self.assertEqual(self.value("upparat_download_bytes_total"), 100_000)
        self.assertEqual(self.value("upparat_hook_runs_total", hook="install"), 2)
        self.assertEqual(self.value("upparat_hook_retries_total", hook="install"), 1)
        ended = self.value("upparat_jobs_total", status="FAILED", state="download_failed")
        self.assertEqual(ended, 1)

    def test_names_follow_the_conventions(self) -> None:
        for line in self.text().splitlines():
            if kind := re.match(r"# TYPE (upparat_\w+) (\w+)", line):
                self.assertEqual(kind[1].endswith("_total"), kind[2] == "counter", line)
        self.assertNotIn("_created", self.text())

    def test_the_process_is_measured(self) -> None:
        resident = self.value("process_resident_memory_bytes")
        assert resident is not None
        self.assertGreater(resident, 1 << 20)

    def test_two_formats(self) -> None:
        kind, text = self.write("application/openmetrics-text; version=1.0.0")
        self.assertIn("openmetrics", kind)
        self.assertTrue(text.endswith(b"# EOF\n"))
        self.assertTrue(self.write("")[0].startswith("text/plain"))

    def test_a_format_that_makes_no_sense(self) -> None:
        for accept in (";;,=;", "x" * 10_000):
            self.assertTrue(self.write(accept)[0].startswith("text/plain"), accept)

    def test_a_version_that_makes_no_sense(self) -> None:
        """prometheus-client 0.21 takes it for OpenMetrics, later ones refuse it."""
        kind, text = self.write("application/openmetrics-text; version=x")
        self.assertEqual("openmetrics" in kind, text.endswith(b"# EOF\n"), kind)
        self.assertIn(b"upparat_connected", text)

    def test_two_agents_in_one_process(self) -> None:
        """Each has a registry of its own."""
        other = AgentCollector(self.agent.agent(), Tally(self.clock.seconds, "idle"), lambda: 7)
        make_exposition(other)
        self.assertEqual(self.value("upparat_download_bytes_total"), 0)
