"""A file of the device as the source of a download: the answers, and what goes wrong."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.support.downloads import Heard, make_job
from tests.unit.download.bench import Bench, FakeReactor
from upparat.config.settings import DownloadSettings
from upparat.download import medium
from upparat.download.errors import MediumError
from upparat.download.exchange import CancelScope
from upparat.download.medium import MediumExchange, medium_url
from upparat.download.response import Head
from upparat.download.transfer import MEDIUM_ATTEMPTS
from upparat.job import ExecutionKey, Job, JobExecution, State, Status
from upparat.storage.directory import Store

BEFORE, CONTENT, BEHIND = b"before", b"0123456789", b"behind"


class MediumTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.patch(medium, "CHUNK", 4)
        self.file = Path(self.mktemp()).absolute()
        self.file.write_bytes(BEFORE + CONTENT + BEHIND)
        self.url = medium_url(self.file, len(BEFORE), len(CONTENT))
        self.reactor = FakeReactor()
        self.scope = CancelScope()
        self.exchange = MediumExchange(self.reactor, self.scope)  # type: ignore[arg-type]
        self.addCleanup(self.exchange.close)

    def head(self, **headers: str) -> Deferred[Head]:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return Deferred.fromCoroutine(self.exchange.head(self.url, named))

    def got(self, **headers: str) -> tuple[int, str, str]:
        """Status, content range and ETag."""
        head = self.successResultOf(self.head(**headers))
        values = (
            (head.headers.getRawHeaders(name) or [""])[0] for name in ("content-range", "etag")
        )
        return (head.status, *values)  # type: ignore[return-value]

    def body(self, received: list[bytes]) -> Deferred[bool]:
        return Deferred.fromCoroutine(self.exchange.body(received.append))

    def problem(self, deferred: Deferred[Head] | Deferred[bool]) -> str:
        return str(self.failureResultOf(deferred, MediumError).value)

    def test_a_part_of_a_file(self) -> None:
        self.assertEqual(self.got()[:2], (200, ""))
        received: list[bytes] = []
        self.assertTrue(self.successResultOf(self.body(received)))
        self.assertEqual(received, [b"0123", b"4567", b"89"])

    def test_the_rest(self) -> None:
        etag = self.got()[2]
        self.assertEqual(self.got(Range="bytes=7-", If_Match=etag), (206, "bytes 7-9/10", etag))
        received: list[bytes] = []
        self.successResultOf(self.body(received))
        self.assertEqual(b"".join(received), b"789")
        self.assertEqual(self.got(Range="bytes=10-")[:2], (416, "bytes */10"))

    def test_another_file_of_the_same_name(self) -> None:
        etag = self.got()[2]
        os.utime(self.file, ns=(1, 1))
        self.assertEqual(self.got(Range="bytes=7-", If_Match=etag)[0], 412)

    def test_strange_names(self) -> None:
        strange = self.file.parent / os.fsdecode(b"a b#?%41\xff")
        strange.write_bytes(CONTENT)
        self.url = medium_url(strange, 0, 10)
        self.assertTrue(self.url.isascii())
        self.assertEqual(self.got()[0], 200)

    def test_what_cannot_be_read(self) -> None:
        self.file.write_bytes(BEFORE + CONTENT[:-1])
        self.assertEqual(self.problem(self.head()), f"{self.file} is cut short")
        self.file.unlink()
        self.assertEqual(self.problem(self.head()), f"{self.file}: No such file or directory")
        os.mkfifo(self.file)
        self.assertEqual(self.problem(self.head()), f"{self.file} is no file")
        self.url = "https://h/f#0+1"
        self.assertEqual(self.problem(self.head()), "the URL names no part of a file")

    def test_a_file_that_shrinks(self) -> None:
        self.got()
        os.truncate(self.file, len(BEFORE) + 5)
        self.assertEqual(self.problem(self.body([])), f"{self.file} is cut short")

    def test_a_pause(self) -> None:
        self.got()
        received: list[bytes] = []

        def receive(data: bytes) -> None:
            received.append(data)
            self.exchange.pause()

        body = Deferred.fromCoroutine(self.exchange.body(receive))
        for count in (1, 2):
            self.assertNoResult(body)
            self.assertEqual(len(received), count)
            self.exchange.resume()
        self.exchange.resume()
        self.assertTrue(self.successResultOf(body))

    def test_a_stop_while_a_thread_reads(self) -> None:
        """The file is closed when the thread is done, and not before."""
        self.got()
        self.reactor.pool.held = []
        body = self.body([])
        self.scope.stop()
        self.failureResultOf(body, CancelledError)
        self.reactor.pool.held[0]()
        self.exchange.close()
        self.exchange.close()
        self.assertEqual(self.opened(), 0)

    def test_a_stop_before_a_thread_opens_the_file(self) -> None:
        self.reactor.pool.held = []
        head = self.head()
        self.scope.stop()
        self.failureResultOf(head, CancelledError)
        self.exchange.close()
        self.reactor.pool.held[0]()
        self.assertEqual(self.opened(), 0)

    def opened(self) -> int:
        """How many descriptors of the file are open."""
        names = Path("/proc/self/fd")
        return sum(os.path.realpath(each) == str(self.file) for each in names.iterdir())


class InstallDownloadTests(Bench):
    settings = DownloadSettings()

    def setUp(self) -> None:
        super().setUp()
        self.medium = Path(self.mktemp()).absolute()
        self.medium.write_bytes(BEFORE + CONTENT + BEHIND)
        self.key = ExecutionKey("local@1", 1, 5)

    def job(self) -> Job:
        return replace(
            make_job(medium_url(self.medium, len(BEFORE), len(CONTENT))),
            execution=JobExecution(self.key, Status.QUEUED, 0),
            size=len(CONTENT),
            sha256=hashlib.sha256(CONTENT).hexdigest(),
        )

    def begin(self) -> Heard:
        self.downloader.start(self.job())
        return self.heard

    def test_it_is_stored_and_verified(self) -> None:
        self.assertEqual(self.begin().events[-1][0], "downloaded")
        complete = Store(self.directory).files(self.key).complete
        self.assertEqual(complete.read_bytes(), CONTENT)
        self.assertEqual((self.asked, self.downloader.fetched), ([], 0))

    def test_another_file(self) -> None:
        self.medium.write_bytes(BEFORE + b"x" * 10 + BEHIND)
        self.begin()
        self.reactor.advance(2)
        outcome = self.heard.outcome
        assert outcome is not None
        self.assertEqual(outcome[:2], ("download_failed", State.VERIFICATION_FAILED))

    def test_a_medium_that_is_gone(self) -> None:
        """It may not be mounted yet. The agent waits, but not for long."""
        self.medium.unlink()
        self.begin()
        for _ in range(MEDIUM_ATTEMPTS - 1):
            self.assertEqual(self.heard.outcome, None)
            self.reactor.advance(64)
        message = f"{self.medium}: No such file or directory ({MEDIUM_ATTEMPTS} attempts)"
        self.assertEqual(self.heard.outcome, ("download_failed", State.DOWNLOAD_FAILED, message))

    def test_a_medium_that_comes_back(self) -> None:
        self.medium.rename(self.medium.with_suffix(".away"))
        self.begin()
        self.medium.with_suffix(".away").rename(self.medium)
        self.reactor.advance(64)
        self.assertEqual(self.heard.events[-1][0], "downloaded")

    def test_a_job_of_aws_cannot_name_a_file(self) -> None:
        self.key = ExecutionKey("job-1", 1, 5)
        self.begin()
        outcome = self.heard.outcome
        assert outcome is not None
        self.assertEqual(outcome[1], State.DOWNLOAD_FAILED)
        self.assertIn("file is neither https nor http", str(outcome[2]))
