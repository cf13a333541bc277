"""The text of the metrics, if prometheus-client is there."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable

from upparat.control.agent import Agent

from .tally import Tally

MISSING = "the metrics need prometheus-client: install upparat[metrics]"


class MetricsMissing(Exception):
    """prometheus-client is not installed."""


def is_available() -> bool:
    """Whether prometheus-client is installed. It is not imported by that."""
    return importlib.util.find_spec("prometheus_client") is not None


class Metrics:
    """The metrics of one agent, in a registry of their own.

    :param fetched: returns the bytes that have come from servers.
    """

    def __init__(self, agent: Agent, tally: Tally, fetched: Callable[[], int]) -> None:
        self._agent = agent
        self._tally = tally
        self._fetched = fetched
        self._exposition: Callable[[str], tuple[str, bytes]] | None = None

    def write(self, accept: str) -> tuple[str, bytes]:
        """Return the content type and the text of the metrics.

        :param accept: the ``Accept`` header of the request; may be empty.
        :raises MetricsMissing: without prometheus-client.
        """
        if self._exposition is None:
            self._exposition = self._make()
        return self._exposition(accept)

    def _make(self) -> Callable[[str], tuple[str, bytes]]:
        try:
            from .collector import AgentCollector, make_exposition  # slow, and not always there
        except ImportError:
            raise MetricsMissing(MISSING) from None
        return make_exposition(AgentCollector(self._agent, self._tally, self._fetched))
