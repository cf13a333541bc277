"""Text made safe."""

from __future__ import annotations

import unicodedata

from hypothesis import example, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from upparat.text import STATUS_VALUE_LENGTH, printable, status_value, without_query

ANY = st.text(st.characters(exclude_categories=()), max_size=3000)
PIECES = (
    *("\x1b", "\x1b[", "\x1b]0;t", "\x9b", "\x07", "\x1b\\", "\x1bP", "31m", " ", "\n", "\t"),
    *("a", "é", "\U0001f600", "\u200d", "\ud800", "\u2028", "\ue000", "\u0378", "…", "\0"),
)
ODD = st.lists(st.sampled_from(PIECES), max_size=800).map("".join)


def safe(text: str) -> bool:
    return not any(unicodedata.category(char).startswith("C") for char in text)


class PrintableTests(SynchronousTestCase):
    def test_words_do_not_run_together(self) -> None:
        self.assertEqual(printable("  a\tb\r\nc\0d\x85e\u2028f "), "a b c d e f")

    def test_invisible_characters(self) -> None:
        self.assertEqual(printable("a\u200db\ufeffc\ud800d\ue000e\u0378f"), "abcdef")

    def test_kept(self) -> None:
        text = "Grüße, 世界 😀 {x} %s \\n <b>"
        self.assertEqual(printable(text), text)

    def test_escape_sequences(self) -> None:
        for sequence in (
            "\x1b[0m",
            "\x1b[1;38;5;208m",
            "\x1b[2K",
            "\x1b[?25l",
            "\x1b[1 q",
            "\x1b]0;a title\x07",
            "\x1b]8;;https://h/\x1b\\",
            "\x1bP+q\x1b\\",
            "\x1b(B",
            "\x1bc",
            "\x1b7",
            "\x9b1m",
        ):
            self.assertEqual(printable(f"a{sequence}b"), "ab", repr(sequence))

    def test_cut_sequences(self) -> None:
        for text in ("a\x1b", "a\x1b[", "a\x1b[1;3", "a\x9b", "a\x1b]title"):
            self.assertTrue(printable(text).startswith("a"))
            self.assertTrue(safe(printable(text)))

    @given(ANY | ODD)
    def test_any(self, text: str) -> None:
        line = printable(text)
        self.assertTrue(safe(line))
        self.assertEqual(line, " ".join(line.split()))
        self.assertEqual(printable(line), line)


class StatusValueTests(SynchronousTestCase):
    def test_short(self) -> None:
        self.assertEqual(status_value("x" * STATUS_VALUE_LENGTH), "x" * STATUS_VALUE_LENGTH)
        self.assertEqual(status_value("\n"), "")

    def test_long_keeps_its_end(self) -> None:
        value = status_value("x" * STATUS_VALUE_LENGTH + "end")
        self.assertEqual(len(value), STATUS_VALUE_LENGTH)
        self.assertTrue(value.startswith("…x"))
        self.assertTrue(value.endswith("xend"))

    @given(ANY | ODD)
    @example("\U0001f600" * 2000)
    @example("a " * 2000)
    @example("\x1b[" * 2000)
    def test_any(self, text: str) -> None:
        value = status_value(text)
        self.assertLessEqual(len(value), STATUS_VALUE_LENGTH)
        self.assertTrue(safe(value))


class WithoutQueryTests(SynchronousTestCase):
    def test_query_fragment_and_user(self) -> None:
        for url, bare in {
            "https://h/p": "https://h/p",
            "https://h/p?a=b&c?d": "https://h/p",
            "https://h/p#f?g": "https://h/p",
            "https://h?a": "https://h",
            "https://user:pass@h:1/p?x": "https://h:1/p",
            "https://user:p@ss@h/p": "https://h/p",
            "https://h/a@b": "https://h/a@b",
            "https://h/p\n?x": "https://h/p",
            "": "",
        }.items():
            self.assertEqual(without_query(url), bare)

    @given(ANY, ANY)
    def test_any(self, start: str, end: str) -> None:
        self.assertTrue(safe(without_query(start + "?" + end)))
        self.assertNotIn("?", without_query(start + "?" + end))
