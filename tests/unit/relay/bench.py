"""A bench for the unit tests of the relay: answers of the server from a script, and no network."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred

from tests.support.downloads import make_job
from tests.unit.download.bench import CONTENT, URL, Answer, FakeExchange
from tests.unit.download.bench import Bench as DownloadBench
from upparat.download.exchange import CancelScope
from upparat.job import Job
from upparat.relay.lent import LentFile
from upparat.relay.upstream import KeptLine

_T = TypeVar("_T")

TOTAL = len(CONTENT)


class FakeUpstream:
    """Lines whose exchanges take their answers from the bench."""

    def __init__(self, bench: RelayBench) -> None:
        self._bench = bench
        self.open = 0
        self.exchange: Flow | None = None

    def take(self, job: Job) -> KeptLine:
        self.open += 1
        return KeptLine(self._exchange, self._close)

    def _exchange(self, scope: CancelScope) -> Flow:
        self.exchange = Flow(self._bench, scope)
        return self.exchange

    def _close(self) -> None:
        self.open -= 1

    def close(self) -> None: ...


class Flow(FakeExchange):
    """An exchange that notes when it is held."""

    held = False

    def pause(self) -> None:
        self.held = True

    def resume(self) -> None:
        self.held = False


class RelayBench(DownloadBench):
    """Listens to a file that is lent."""

    def new(self) -> None:
        self.job = make_job(URL)
        self.refusals: list[str] = []
        self.count = 0
        self.scope = CancelScope()
        self.upstream = FakeUpstream(self)
        self.lend()

    def lend(self, **values: Any) -> None:
        self.job = make_job(URL, **values)
        self.file = LentFile(
            self.reactor,
            self.job,
            self.upstream,  # type: ignore[arg-type]
            self,
            self.settings.max_attempts,
            lambda: 0.0,
        )

    def refused(self, reason: str) -> None:
        self.refusals.append(reason)

    def received(self, count: int) -> None:
        self.count += count

    def let(self, work: Coroutine[Deferred[Any], Any, _T]) -> Deferred[_T]:
        return Deferred.fromCoroutine(work)

    @property
    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


def first(etag: str = '"e"', total: int | str = TOTAL) -> Answer:
    """The answer to the question how long the file is."""
    return Answer(206, {"etag": etag, "content-range": f"bytes 0-0/{total}"}, 1, [CONTENT[:1]])


def part(
    begin: int,
    end: int,
    cut: int | None = None,
    then: bool | Exception | None = True,
    **values: Any,
) -> Answer:
    """The bytes from ``begin`` up to ``end``, and ``then`` the end; or a break at ``cut``."""
    headers = {"etag": '"e"', "content-range": f"bytes {begin}-{end - 1}/{TOTAL}"}
    until = end if cut is None else cut
    if cut is not None and then is True:
        then = ConnectionError()
    return Answer(206, headers, end - begin, [CONTENT[begin:until]], then, **values)


EXPIRED = Answer(
    403, body=b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message>"
)
