"""Durations as people write them."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.policy.durations import parse_duration


class DurationTests(SynchronousTestCase):
    def test_each_unit(self) -> None:
        for text, seconds in (
            ("90s", 90),
            ("30m", 1800),
            ("30 min", 1800),
            ("2h", 7200),
            ("1.5H", 5400),
            ("7d", 604_800),
            (" 2w ", 1_209_600),
        ):
            self.assertEqual(parse_duration(text), seconds, text)

    def test_nonsense(self) -> None:
        for text in ("", "7", "d", "-1d", "7 days", "1h30m", "inf", "nan", "9999999d", "\u0667d"):
            error = self.assertRaises(ValueError, parse_duration, text)
            message = f"{text!r} is no duration, such as 90s, 30m, 2h or 7d"
            self.assertEqual(str(error), message)

    def test_nothing(self) -> None:
        error = self.assertRaises(ValueError, parse_duration, "0h")
        self.assertEqual(str(error), "'0h' is no time at all")
