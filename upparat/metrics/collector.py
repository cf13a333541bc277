"""The metrics: families of Prometheus made of the tally and of the snapshots of the agent.

This module needs prometheus-client, so it is imported only for an answer.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    InfoMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from upparat.control.agent import Agent

from .tally import Tally

Samples = Mapping[tuple[str, ...], float]


class AgentCollector(Collector):
    """Reads what holds now, whenever it is asked. No label has more values than the agent has
    states or hooks.

    :param fetched: returns the bytes that have come from servers.
    """

    def __init__(self, agent: Agent, tally: Tally, fetched: Callable[[], int]) -> None:
        self._agent = agent
        self._tally = tally
        self._fetched = fetched

    def describe(self) -> Iterable[Metric]:
        """Nothing: the registry would collect everything otherwise, to learn the names."""
        return ()

    def collect(self) -> Iterator[Metric]:
        yield InfoMetricFamily(
            "upparat_agent",
            "The agent.",
            value={"version": self._agent.version, "thing": self._agent.thing},
        )
        yield from self._connections()
        yield from self._states()
        yield from self._work()

    def _connections(self) -> Iterator[Metric]:
        yield GaugeMetricFamily(
            "upparat_connected",
            "Whether the connection to the broker stands.",
            value=self._agent.connection().seconds is not None,
        )
        yield CounterMetricFamily(
            "upparat_connections",
            "Connections that the broker has accepted.",
            value=self._tally.connections,
        )
        yield CounterMetricFamily(
            "upparat_disconnections",
            "Accepted connections that were lost or closed.",
            value=self._tally.disconnections,
        )

    def _states(self) -> Iterator[Metric]:
        spent, state = self._tally.spent, self._tally.state
        yield _labelled(
            GaugeMetricFamily(
                "upparat_state", "1 for the state of the machine, 0 for others.", labels=["state"]
            ),
            {(name,): float(name == state) for name in spent},
        )
        yield _labelled(
            CounterMetricFamily(
                "upparat_state_seconds", "Time in each state of the machine.", labels=["state"]
            ),
            {(name,): seconds for name, seconds in spent.items()},
        )

    def _work(self) -> Iterator[Metric]:
        tally = self._tally
        yield _labelled(
            CounterMetricFamily(
                "upparat_jobs", "Ended jobs by their end.", labels=["status", "state"]
            ),
            dict(tally.jobs.items()),
        )
        yield CounterMetricFamily(
            "upparat_download_bytes", "Bytes of files that have come.", value=self._fetched()
        )
        yield _labelled(
            CounterMetricFamily("upparat_hook_runs", "Runs of hooks.", labels=["hook"]),
            {(hook.value,): count for hook, count in tally.hook_runs.items()},
        )
        yield _labelled(
            CounterMetricFamily(
                "upparat_hook_retries",
                "Runs of hooks that were not the first one for their job.",
                labels=["hook"],
            ),
            {(hook.value,): count for hook, count in tally.hook_retries.items()},
        )


def _labelled(family: CounterMetricFamily | GaugeMetricFamily, samples: Samples) -> Metric:
    for labels, value in samples.items():
        family.add_metric(labels, value)
    return family


def make_exposition(collector: Collector) -> Callable[[str], tuple[str, bytes]]:
    """Make a function that writes the metrics, and those of the process, in the format that an
    ``Accept`` header asks for. It returns the content type and the text."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(collector)
    ProcessCollector(registry=registry)

    def exposition(accept: str) -> tuple[str, bytes]:
        try:
            encoder, content_type = choose_encoder(accept)
        except (TypeError, ValueError):  # the header makes no sense
            encoder, content_type = choose_encoder("")
        return content_type, encoder(registry)

    return exposition
