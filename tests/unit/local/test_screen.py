"""Lines and bars, and the end of a job that is followed."""

from __future__ import annotations

import json
from datetime import datetime
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import Status
from upparat.local import aws, screen, watch

from .bench import FakeStream, execution

TIME = datetime(2026, 11, 23, 12, 30, 1, 250000)


def update(state: str, message: str = "none", status: str = "IN_PROGRESS") -> watch.Update:
    return watch.Update("j", status, {"state": state, "message": message}, TIME)


def progress(done: int, total: int | None = None) -> watch.Update:
    message = {"downloaded_bytes": done} | ({"total_bytes": total} if total else {})
    return update("download_progress", json.dumps(message))


class Display(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = FakeStream()
        self.screen = screen.Screen(self.stream)

    def test_plain_lines_where_there_is_no_terminal(self) -> None:
        self.screen.update(update("download_start"))
        self.screen.update(progress(5_000_000, 20_000_000))
        self.screen.update(update("download_failed", "no room", "FAILED"))
        self.assertEqual(
            self.stream.getvalue(),
            "  12:30:01.250  IN_PROGRESS  download_start\n"
            "  12:30:01.250  [#######.......................]  25 %  5.0 of 20.0 MB\n"
            "  12:30:01.250  FAILED       download_failed         no room\n",
        )

    def test_a_terminal_has_one_bar_that_moves(self) -> None:
        self.stream.tty = True
        self.screen = screen.Screen(self.stream)
        self.screen.update(progress(0, 10))
        self.screen.update(progress(10, 10))
        self.screen.line("done")
        before, first, rest = self.stream.getvalue().split("\r")
        self.assertEqual(before, "")
        self.assertIn(" 0 %", first)
        self.assertNotIn("\n", first)
        self.assertIn("100 %", rest)
        self.assertEqual(rest.splitlines()[1:], ["done"])

    def test_what_the_seed_had(self) -> None:
        told = '{"downloaded_bytes": 9, "total_bytes": 9, "reused_bytes": 5000000}'
        self.assertTrue(screen.bar(told).endswith("0.0 of 0.0 MB, 5.0 from the seed"))

    def test_without_a_total_there_is_no_bar(self) -> None:
        self.assertEqual(screen.bar('{"downloaded_bytes": 1500000}'), "1.5 MB")

    def test_progress_that_is_not_ours_is_shown_as_it_is(self) -> None:
        self.assertEqual(screen.bar("half"), "half")
        self.assertEqual(screen.bar("[1]"), "[1]")
        self.assertEqual(screen.bar('{"downloaded_bytes": "x"}'), '{"downloaded_bytes": "x"}')


class FakeWatcher:
    def __init__(self, *batches: list[watch.Update]) -> None:
        self.batches = list(batches)

    def updates(self, timeout: float = 0) -> list[watch.Update]:
        return self.batches.pop(0) if self.batches else []


class Follow(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = FakeStream()
        self.screen = screen.Screen(self.stream)

    def follow(self, watcher: object, *answers: aws.ExecutionStatus | None, **named: Any) -> Any:
        left = list(answers)
        return screen.follow(watcher, self.screen, lambda: left.pop(0), **named)  # type: ignore

    def test_it_shows_everything_up_to_the_end(self) -> None:
        watcher = FakeWatcher([update("a")], [update("b")], [update("c"), update("d")])
        ticks: list[None] = []
        end = self.follow(
            watcher,
            None,
            execution(Status.SUCCEEDED),
            tick=lambda: ticks.append(None),
        )
        self.assertEqual(end.status, Status.SUCCEEDED)
        self.assertEqual(
            [line.split()[-1] for line in self.stream.getvalue().splitlines()], [*"abcd"]
        )
        self.assertEqual(len(ticks), 2)

    def test_it_is_limited(self) -> None:
        self.assertRaises(TimeoutError, self.follow, FakeWatcher(), timeout=-1)
