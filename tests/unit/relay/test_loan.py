"""What was fetched by a URL, and how that is told."""

from __future__ import annotations

from dataclasses import replace

from twisted.internet.testing import MemoryReactorClock

from tests.unit.download.bench import CONTENT, Answer
from tests.unit.relay import bench
from tests.unit.relay.bench import EXPIRED, TOTAL, RelayBench, first, part
from tests.unit.relay.served import FakeHook
from upparat.relay import loan
from upparat.relay.channel import RelayFactory
from upparat.relay.loan import Loan
from upparat.snapshots import DownloadSnapshot, WaitKind


class LoanTests(RelayBench):
    def new(self) -> None:
        super().new()
        self.told: list[tuple[int, int | None]] = []
        self.memory = MemoryReactorClock()
        self.patch(loan, "Upstream", lambda reactor, settings: self.upstream)
        self.loan = Loan(self.memory, self.settings, self.job, self, lambda: 0.0)  # type: ignore[arg-type]

    def fetched_so_far(self, count: int, total: int | None) -> None:
        self.told.append((count, total))

    def asks(self, span: str) -> FakeHook:
        factory = self.memory.tcpServers[0][1]
        assert isinstance(factory, RelayFactory)
        return FakeHook(factory).asks(self.loan.url, Range=f"bytes={span}")

    def test_each_byte_counts_once(self) -> None:
        self.answers = [first(), part(2, 6), part(2, 6), part(4, 8)]
        for span in ("2-5", "2-5", "4-7"):
            self.assertEqual(self.asks(span).code, 206)
        self.assertEqual(self.told, [(4, TOTAL)])
        self.assertEqual(self.loan.snapshot(), DownloadSnapshot(6, TOTAL))
        self.loan.report()
        self.loan.report()
        self.assertEqual(self.told, [(4, TOTAL), (6, TOTAL)])
        self.assertEqual(self.count, 12)

    def test_what_it_waits_for(self) -> None:
        self.answers = [Answer(503)]
        self.asks("0-")
        wait = self.loan.snapshot().wait
        assert wait is not None
        self.assertEqual((wait.kind, wait.why), (WaitKind.DOWNLOAD, "HTTP 503 Service Unavailable"))
        self.successResultOf(self.loan.close())

    def test_a_fresh_url(self) -> None:
        self.answers = [EXPIRED, first(), part(0, TOTAL)]
        hook = self.asks("0-")
        self.assertEqual(len(self.refusals), 1)
        fresh = replace(self.job, file=f"{bench.URL}2")
        self.loan.renew(fresh)
        self.assertEqual(hook.answer()[2], CONTENT)
        self.assertEqual((self.loan.job, self.loan.failure), (fresh, None))

    def test_a_file_that_cannot_be_had(self) -> None:
        self.answers = [Answer(404)]
        self.assertEqual(self.asks("0-").code, 502)
        self.assertEqual(str(self.loan.failure), "HTTP 404 Not Found")
