"""The delta as a shortcut: when it is taken, when it is given up, and what is kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.support.downloads import KEY, make_job
from tests.unit.delta.bench import summed, zchunk
from tests.unit.delta.lines_bench import URL, FakeServer, MemorySink, Reply, make_journey
from upparat.config.settings import DeltaSettings
from upparat.delta.header import parse_header
from upparat.delta.shortcut import KEPT, DeltaShortcut
from upparat.delta.tables import ChunkTables, table_of
from upparat.download.budget import Budget
from upparat.download.partial import CannotRestart, DiskError
from upparat.download.response import Complete, Temporary, UrlExpired
from upparat.download.shortcut import Journey

CHUNKS = [bytes([each]) * 1000 for each in range(8)]
NEW = b"".join(CHUNKS)
PATIENCE = 3


class ShortcutBench(SynchronousTestCase):
    settings = DeltaSettings(keep=True)

    def setUp(self) -> None:
        self.state = Path(self.mktemp()).absolute()
        self.downloads = Path(self.mktemp()).absolute()
        self.downloads.mkdir(parents=True)
        self.server = FakeServer(zchunk(CHUNKS))
        self.sink = MemorySink()
        self.budget = Budget(KEY)
        self.said: list[str] = []
        self.identified = True
        self.make()

    def make(self, **more: Any) -> None:
        self.shortcut = DeltaShortcut(
            self.settings,
            self.state,
            self.downloads,
            self.server,
            identifies=lambda job: self.identified,
            patience=PATIENCE,
            **more,
        )
        self.shortcut.log = self  # type: ignore[assignment]

    def info(self, text: str, **values: object) -> None:
        self.said.append(text.format(**values))

    warn = info

    def failure(self, text: str, **values: object) -> None:
        self.said.append(f"{text.format(**values)}: {type(Failure().value).__name__}")

    def journey(self, document: Any = None, **job: Any) -> Journey:
        given = {"delta": URL} if document is None else document
        made = make_journey(self.sink, given, **job)
        return Journey(made.job, made.partial, self.budget, made.work, made.put)

    def begin(self, *arguments: Any, **job: Any) -> list[Any]:
        """Begin an attempt; what it ends with comes into the list."""
        ended: list[Any] = []
        self.last = self.journey(*arguments, **job)
        Deferred.fromCoroutine(self.shortcut.attempt(self.last)).addBoth(ended.append)
        return ended

    def attempt(self, *arguments: Any, **job: Any) -> Any:
        [outcome] = self.begin(*arguments, **job)
        return outcome

    def install(self) -> Path:
        """One update by a delta. Returns the file."""
        self.assertEqual(self.attempt(), Complete())
        path = self.downloads / "job"
        path.write_bytes(self.sink.content)
        self.shortcut.completed(self.last.job, str(path))
        return path

    def gave_up(self, problem: str) -> None:
        """The last attempt was given up: one line says so, and nothing is asked for any more."""
        self.assertEqual(self.said, [f"job: the delta is not used: {problem}"])
        asked = len(self.server.asked)
        self.assertIsNone(self.attempt())
        self.assertEqual((len(self.server.asked), len(self.said)), (asked, 1))
        self.said.clear()


class TakenTests(ShortcutBench):
    def test_the_second_update_reuses_the_first(self) -> None:
        path = self.install()
        self.assertEqual(self.shortcut.reused, 0)
        self.assertEqual(os.stat(path).st_ino, os.stat(self.downloads / KEPT).st_ino)
        self.said.clear()
        new = [*CHUNKS[3:], b"new" * 300]
        self.server.content = zchunk(new)
        self.sink, path = MemorySink(), path.with_name("other")
        key = KEY._replace(job_id="job-2")
        self.assertEqual(self.attempt(key=key), Complete())
        self.assertEqual((self.sink.content, self.shortcut.reused), (b"".join(new), 5000))
        path.write_bytes(self.sink.content)
        self.shortcut.completed(self.last.job, str(path))
        self.assertEqual(self.shortcut.reused, 5000)
        header = parse_header(self.server.content)
        fetched = header.length + header.chunks[-1].packed
        told = f"job-2: the delta took 5000 of 5900 bytes from seeds, and fetched {fetched}"
        self.assertEqual(self.said, [told])
        self.assertEqual((self.downloads / KEPT).read_bytes(), self.sink.content)
        self.assertEqual(sorted(os.listdir(self.downloads)), ["job", KEPT, "other"])
        self.assertEqual(ChunkTables(self.state).load(), [summed(new), summed(CHUNKS)])

    def test_the_seeds_of_the_settings(self) -> None:
        seed = Path(self.mktemp())
        seed.write_bytes(NEW)
        ChunkTables(self.state).add(table_of(parse_header(zchunk(CHUNKS))))
        self.settings = DeltaSettings(seeds=(seed,))
        self.make()
        path = self.install()
        self.assertEqual((self.sink.content, self.shortcut.reused), (NEW, len(NEW)))
        self.assertEqual(os.listdir(self.downloads), [path.name])

    def test_a_stream_is_not_kept(self) -> None:
        self.assertEqual(self.attempt(), Complete())
        self.shortcut.completed(self.last.job, "")
        self.assertEqual(os.listdir(self.downloads), [])
        self.assertEqual(len(ChunkTables(self.state).load()), 1)

    def test_a_file_that_was_kept_by_half(self) -> None:
        (self.downloads / "kept.new").write_bytes(b"old")
        self.install()
        self.assertEqual((self.downloads / KEPT).read_bytes(), NEW)

    def test_the_same_job_again_in_the_middle(self) -> None:
        """What came before the cut is still counted."""
        self.server.replies = [Reply(), Reply(cut=1)]
        self.assertEqual(self.attempt(), Temporary("ConnectionError"))
        self.assertEqual(self.attempt(), Complete())
        self.assertEqual(sum(each.startswith("0-") for each in self.server.ranges), 1)

    def test_another_job_begins_anew(self) -> None:
        self.server.replies = [Reply(), Reply(cut=1)]
        self.assertEqual(self.attempt(), Temporary("ConnectionError"))
        self.assertEqual(self.attempt(key=KEY._replace(number=2)), Complete())
        self.assertEqual(sum(each.startswith("0-") for each in self.server.ranges), 2)

    def test_what_cannot_be_kept(self) -> None:
        self.assertEqual(self.attempt(), Complete())
        self.shortcut.completed(self.last.job, str(self.downloads / "missing"))
        told = "job: nothing is kept for the next delta: No such file or directory"
        self.assertEqual(self.said[-1], told)
        self.assertFalse((self.downloads / KEPT).exists())

    def test_an_error_without_a_number(self) -> None:
        self.assertEqual(self.attempt(), Complete())
        self.patch(os, "link", self.refuse)
        self.shortcut.completed(self.last.job, str(self.downloads / "job"))
        self.assertEqual(self.said[-1], "job: nothing is kept for the next delta: no links")

    def refuse(self, *_: object) -> None:
        raise OSError("no links")

    def test_a_file_of_another_way(self) -> None:
        """No attempt, one without a header, and one of another job leave nothing."""
        self.shortcut.completed(make_job("https://h/f"), "/missing")
        self.server.replies = [Reply(503)]
        self.assertEqual(self.attempt(), Temporary("HTTP 503 Service Unavailable"))
        self.shortcut.completed(self.last.job, "/missing")
        self.assertEqual(self.attempt(), Complete())
        other = make_job("https://h/f", KEY._replace(number=2))
        self.shortcut.completed(other, "/missing")
        self.assertEqual((self.said, ChunkTables(self.state).load()), ([], []))

    def test_a_table_is_kept_even_if_the_file_came_another_way(self) -> None:
        self.server.content = zchunk([b"few"])
        self.assertIsNone(self.attempt())
        self.shortcut.completed(self.last.job, "")
        self.assertEqual(len(self.said), 1)
        table = table_of(parse_header(self.server.content))
        self.assertEqual(ChunkTables(self.state).load(), [table])


class GivenUpTests(ShortcutBench):
    def test_no_delta(self) -> None:
        for document in ({}, "text", {"delta": None}):
            self.assertIsNone(self.attempt(document))
        self.assertEqual((self.said, self.server.asked), ([], []))

    def test_urls_that_cannot_be_used(self) -> None:
        self.assertIsNone(self.attempt({"delta": 7}))
        [told] = self.said
        self.assertTrue(told.startswith("job: the delta is not used: delta: "), told)
        self.said.clear()
        self.make()
        self.assertIsNone(self.attempt({"delta": "https://user@h/f"}))
        self.gave_up("delta: a URL with a user name is not supported")
        self.assertEqual(self.server.asked, [])

    def test_a_job_without_a_digest(self) -> None:
        self.identified = False
        self.assertIsNone(self.attempt())
        self.gave_up(
            "delta: the job document has no sha256, sha512 or signature to verify the file by"
        )

    def test_the_next_job_has_its_own_chance(self) -> None:
        self.server.replies = [Reply(404)]
        self.assertIsNone(self.attempt())
        self.gave_up("HTTP 404 Not Found")
        self.assertEqual(self.attempt(key=KEY._replace(number=2)), Complete())

    def test_without_the_library(self) -> None:
        def load() -> None:
            raise ImportError

        self.make(load=load)
        self.assertIsNone(self.attempt())
        self.gave_up("the Python package zstandard is missing")

    def test_a_damaged_header(self) -> None:
        self.server.content = NEW
        self.assertIsNone(self.attempt())
        self.gave_up("this is no zchunk file")

    def test_a_bug(self) -> None:
        def load() -> None:
            raise ZeroDivisionError

        self.make(load=load)
        self.assertIsNone(self.attempt())
        self.assertEqual(self.said.pop(0), "job: delta: ZeroDivisionError")
        self.gave_up("ZeroDivisionError")

    def test_a_file_of_another_size(self) -> None:
        self.assertIsNone(self.attempt(size=7))
        self.gave_up(f"it holds {len(NEW)} bytes, and size is 7")

    def test_attempts_in_a_row(self) -> None:
        self.server.replies = [Reply(503)] * PATIENCE
        for attempts in range(PATIENCE - 1):
            self.budget.attempts = attempts
            self.assertEqual(self.attempt(), Temporary("HTTP 503 Service Unavailable"))
        self.budget.attempts, self.budget.refusals = PATIENCE - 1, 1
        self.assertIsNone(self.attempt())
        self.assertEqual((self.budget.attempts, self.budget.refusals), (0, 0))
        self.gave_up("HTTP 503 Service Unavailable")

    def test_two_refusals(self) -> None:
        self.server.replies = [Reply(403)] * 2
        refused = UrlExpired("HTTP 403 Forbidden")
        self.assertEqual(self.attempt(), refused)
        self.assertIsNone(self.attempt())
        self.gave_up("HTTP 403 Forbidden")

    def test_a_refusal_after_progress_is_a_new_one(self) -> None:
        refused = UrlExpired("HTTP 403 Forbidden")
        self.server.replies = [Reply(403)]
        self.assertEqual(self.attempt(), refused)
        self.sink.content = NEW[:1000]
        self.server.replies = [Reply(403)]
        self.assertEqual(self.attempt(), refused)
        self.assertEqual(self.attempt(), Complete())
        self.assertEqual(self.sink.content, NEW)

    def test_errors_of_others_are_passed_on(self) -> None:
        for problem, error in (
            (OSError(errno.ENOSPC, "full"), DiskError),
            (CannotRestart(), CannotRestart),
        ):
            self.sink.problem = problem
            failure = self.attempt()
            self.assertIsNotNone(failure.check(error), failure)
        self.assertEqual(self.said, [])
        self.assertEqual(self.attempt(), Complete())

    def test_a_stop(self) -> None:
        self.server.held = []
        ended = self.begin()
        self.last.work.scope.stop()
        self.assertIsNotNone(ended[0].check(CancelledError))
        self.assertEqual((self.said, self.server.open, self.server.lines), ([], 0, 0))


class BlameTests(ShortcutBench):
    def test_it_takes_the_blame_once(self) -> None:
        self.assertEqual(self.attempt(), Complete())
        self.assertTrue(self.shortcut.blamed(self.last.job))
        self.assertFalse(self.shortcut.blamed(self.last.job))
        self.gave_up("it made another file than the job's")
        self.assertEqual(self.shortcut.reused, 0)
        self.shortcut.completed(self.last.job, "/missing")
        self.assertEqual((self.said, ChunkTables(self.state).load()), ([], []))

    def test_it_takes_the_blame_after_it_was_given_up(self) -> None:
        self.server.replies = [Reply(), Reply(404)]
        self.assertIsNone(self.attempt())
        self.assertTrue(self.shortcut.blamed(self.last.job))

    def test_others_are_to_blame(self) -> None:
        self.assertFalse(self.shortcut.blamed(make_job("https://h/f")))
        self.assertIsNone(self.attempt({}))
        self.assertFalse(self.shortcut.blamed(self.last.job))
        self.assertEqual(self.attempt(), Complete())
        self.assertFalse(self.shortcut.blamed(make_job("https://h/f", KEY._replace(number=2))))
