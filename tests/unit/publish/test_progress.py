"""Lines and bars, on a terminal and in a log."""

from __future__ import annotations

import io

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.progress import QUIET, ByteProgress, Console, bar

from .bench import Terminal


class ProgressTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.time = 0.0

    def show(self, stream: io.StringIO, *calls: tuple[int, float]) -> str:
        """Show so many bytes of a million, each after so many seconds."""
        progress = ByteProgress(Console(stream), "Up", lambda: self.time)
        for done, seconds in calls:
            self.time += seconds
            progress(done, 1_000_000)
        return stream.getvalue()

    def test_bars(self) -> None:
        self.assertEqual(
            bar(500_000, 2_000_000), "[#######.......................]  25 %  0.5 of 2.0 MB"
        )
        self.assertIn("[##############################] 100 %", bar(1, 1))

    def test_a_terminal_shows_each_change(self) -> None:
        shown = self.show(Terminal(), (0, 0), (500_000, 0), (500_001, 0), (1_000_000, 0))
        self.assertEqual(shown.count("\r"), 3)
        self.assertNotIn("\n", shown)

    def test_a_log_shows_now_and_then(self) -> None:
        calls = [(0, 0.0), (100_000, 1.0), (200_000, QUIET), (300_000, 1.0), (1_000_000, 1.0)]
        shown = self.show(io.StringIO(), *calls).splitlines()
        self.assertEqual([line.split()[-6] for line in shown], ["20"])

    def test_what_follows_begins_on_a_line_of_its_own(self) -> None:
        stream = Terminal()
        console = Console(stream)
        console.progress("half")
        console.line("done")
        console.end()
        self.assertTrue(stream.getvalue().endswith(" \ndone\n"))
