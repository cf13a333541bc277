"""Connections to the server that are used again."""

from __future__ import annotations

from tests.support.downloads import KEY, make_job
from tests.unit.relay.bench import RelayBench
from upparat.config.settings import DownloadSettings
from upparat.download.exchange import CancelScope
from upparat.download.medium import MediumExchange
from upparat.relay import upstream
from upparat.relay.upstream import Upstream


class FakeKept:
    def __init__(self, made: list[FakeKept]) -> None:
        made.append(self)
        self.closed = False

    def close(self) -> None:
        self.closed = True


class UpstreamTests(RelayBench):
    def new(self) -> None:
        super().new()
        self.made: list[FakeKept] = []
        self.patch(upstream, "KeptConnection", lambda reactor, rate: FakeKept(self.made))
        self.real = Upstream(self.reactor, DownloadSettings())  # type: ignore[arg-type]

    def test_a_connection_is_used_again(self) -> None:
        first = self.real.take(self.job)
        second = self.real.take(self.job)
        first.close()
        self.real.take(self.job).close()
        self.assertEqual(len(self.made), 2)
        second.close()

    def test_the_end(self) -> None:
        idle, busy = self.real.take(self.job), self.real.take(self.job)
        idle.close()
        self.real.close()
        self.assertEqual([each.closed for each in self.made], [True, False])
        busy.close()
        self.assertEqual([each.closed for each in self.made], [True, True])

    def test_a_file_of_the_device(self) -> None:
        job = make_job("file:///f#0+1", KEY._replace(job_id="local@1"))
        line = self.real.take(job)
        self.assertIsInstance(line.exchange(CancelScope()), MediumExchange)
        line.close()
        self.assertEqual(self.made, [])

    def test_the_limits_are_those_of_downloads(self) -> None:
        asked: list[tuple[object, ...]] = []
        self.patch(upstream, "HttpExchange", lambda *arguments: asked.append(arguments))
        scope = CancelScope()
        self.real.take(self.job).exchange(scope)
        self.assertEqual(asked, [(self.reactor, DownloadSettings(), scope, self.made[0])])
