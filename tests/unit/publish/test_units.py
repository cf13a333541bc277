"""Durations, rates, percentages and times."""

from __future__ import annotations

from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish import units
from upparat.publish.units import AbortRule, Schedule


class UnitsTests(SynchronousTestCase):
    def problem(self, parse: Callable[[str], object], text: str) -> str:
        error = str(self.assertRaises(ValueError, parse, text))
        self.assertIn(repr(text), error)
        return error

    def test_durations(self) -> None:
        for text, expected in (("90m", 90), ("2h", 120), ("1d12h", 2160), ("7d", 10080), ("1m", 1)):
            self.assertEqual(units.minutes(text), expected)

    def test_what_is_no_duration(self) -> None:
        for text in ("", "2", "2x", "h", "2 h", "-2h", "2h3", "1.5h", "²h"):
            self.assertIn("is no duration such as", self.problem(units.minutes, text))
        for text in ("0m", "7d1m", "999999d"):
            self.assertIn("is not within 1m and 7d", self.problem(units.minutes, text))

    def test_rates(self) -> None:
        self.assertEqual(units.per_minute("1/min"), 1)
        self.assertEqual(units.per_minute("1000/min"), 1000)
        for text in ("", "50", "50/h", "/min", "5.5/min", "50/min "):
            self.assertIn("is no rate such as 50/min", self.problem(units.per_minute, text))
        for text in ("0/min", "1001/min"):
            self.assertIn("is not within 1/min", self.problem(units.per_minute, text))

    def test_percentages(self) -> None:
        self.assertEqual(units.abort_rule("20%"), AbortRule(20, 10))
        self.assertEqual(units.abort_rule("0.25%/50"), AbortRule(0.25, 50))
        self.assertEqual(units.abort_rule("100%/1"), AbortRule(100, 1))
        for text in ("", "20", "20%/", "20%/x", "10.999%", "%", "-1%"):
            self.assertIn("is no percentage such as", self.problem(units.abort_rule, text))
        for text in ("0%", "0.00%", "100.01%", "101%"):
            self.assertIn("is not above 0%", self.problem(units.abort_rule, text))
        self.assertIn("names no device", self.problem(units.abort_rule, "20%/0"))

    def test_retries(self) -> None:
        self.assertEqual([units.retries("1"), units.retries("10")], [1, 10])
        for text in ("", "0", "11", "-1", "x", "1.0"):
            self.assertIn("is no number within 1 and 10", self.problem(units.retries, text))

    def test_schedules(self) -> None:
        start, end = "2027-01-31T02:00", "2027-01-31T02:30"
        for text, expected in (
            (f"{start}/{end}", Schedule(start, end)),
            (f"{start}/", Schedule(start, "")),
            (f"/{end}", Schedule("", end)),
        ):
            self.assertEqual(units.schedule(text), expected)

    def test_what_is_no_schedule(self) -> None:
        for text in ("", "/", "2027-01-31T02:00"):
            self.assertIn("is not START/END", self.problem(units.schedule, text))
        for time in ("2027-02-30T02:00", "2027-1-31T02:00", "2027-01-31 02:00", "x"):
            error = str(self.assertRaises(ValueError, units.schedule, f"{time}/"))
            self.assertEqual(error, f"{time!r} is no time (UTC) such as 2027-01-31T02:00")
        short = "2027-01-31T02:00/2027-01-31T02:29"
        self.assertIn("30 minutes after START", self.problem(units.schedule, short))
