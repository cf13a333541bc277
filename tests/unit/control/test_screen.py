"""The terminal: colours, and drawing in place."""

from __future__ import annotations

import os
import shutil
from io import StringIO

from twisted.trial.unittest import SynchronousTestCase

from upparat.control.render import Row
from upparat.control.screen import StatusScreen

ROWS = [Row("Agent", "2.0.0"), Row("Broker", "lost", "bad"), Row("", "more")]
PLAIN = "Agent      2.0.0\nBroker     lost\n           more\n"


class Terminal(StringIO):
    def isatty(self) -> bool:
        return True


class PrintTests(SynchronousTestCase):
    def printed(self, stream: StringIO, **environ: str) -> str:
        StatusScreen(stream, environ).print(ROWS)
        return stream.getvalue()

    def test_no_terminal(self) -> None:
        self.assertEqual(self.printed(StringIO(), TERM="xterm"), PLAIN)

    def test_colours(self) -> None:
        self.assertEqual(
            self.printed(Terminal(), TERM="xterm"),
            "\x1b[1mAgent      \x1b[0m2.0.0\n"
            "\x1b[1mBroker     \x1b[0m\x1b[31mlost\x1b[0m\n"
            "\x1b[1m           \x1b[0mmore\n",
        )

    def test_no_colours(self) -> None:
        self.assertEqual(self.printed(Terminal(), TERM="xterm", NO_COLOR="1"), PLAIN)
        for term in ("dumb", ""):
            self.assertEqual(self.printed(Terminal(), TERM=term), PLAIN)


class DrawTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.size = os.terminal_size((80, 24))
        self.patch(shutil, "get_terminal_size", lambda: self.size)
        self.terminal = Terminal()
        self.screen = StatusScreen(self.terminal, {"TERM": "xterm", "NO_COLOR": "1"})

    def drawn(self, rows: list[Row]) -> str:
        self.terminal.seek(0)
        self.terminal.truncate()
        self.screen.draw(rows)
        return self.terminal.getvalue()

    def test_in_place(self) -> None:
        self.assertTrue(self.screen.live)
        self.assertEqual(self.drawn(ROWS[:1]), "\rAgent      2.0.0\x1b[K\n\x1b[J")
        self.assertTrue(self.drawn(ROWS).startswith("\x1b[1A\r"))
        self.assertTrue(self.drawn(ROWS).startswith("\x1b[3A\r"))

    def test_a_small_terminal(self) -> None:
        """A line that wraps, or a table that scrolls, would be drawn over in the wrong place."""
        self.size = os.terminal_size((14, 3))
        self.assertEqual(self.drawn(ROWS), "\rAgent      2.\x1b[K\nBroker     lo\x1b[K\n\x1b[J")

    def test_characters_that_are_two_columns_wide(self) -> None:
        self.size = os.terminal_size((16, 24))
        for text, shown in (("更新更新", "更新"), ("a更新", "a更"), ("e\u0301" * 9, "e\u0301" * 4)):
            self.assertIn(f"Job        {shown}\x1b[K\n", self.drawn([Row("Job", text)]))
