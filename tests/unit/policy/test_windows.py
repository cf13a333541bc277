"""Windows: reading them, and what the local clock shows, also when it is changed."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from upparat.policy.windows import Windows, load_zone, parse_windows

BERLIN = ZoneInfo("Europe/Berlin")
HOUR = 3600
# In Berlin the clock goes from 02:00 to 03:00 at this moment, and from 03:00 to 02:00 at that one.
SPRING = datetime(2027, 3, 28, 1, tzinfo=UTC).timestamp()
AUTUMN = datetime(2027, 10, 31, 1, tzinfo=UTC).timestamp()


def at(text: str, zone: ZoneInfo = BERLIN, fold: int = 0) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=zone, fold=fold).timestamp()


def windows(text: str) -> Windows:
    return parse_windows(text, BERLIN)


class ReadingTests(SynchronousTestCase):
    def test_forms(self) -> None:
        for text, count in (
            ("02:00-05:00", 1),
            ("2:00 - 5:00", 1),
            ("Mon-Fri 22:00-05:00, sat 00:00-24:00", 2),
            ("Fri-Mon 01:00-02:00,03:00-04:00", 2),
        ):
            self.assertEqual(len(windows(text).windows), count, text)

    def test_days(self) -> None:
        for text, days in (
            ("", {0, 1, 2, 3, 4, 5, 6}),
            ("Mon ", {0}),
            ("TUE-thu ", {1, 2, 3}),
            ("Sat-Mon ", {5, 6, 0}),
            ("Mon-Sun ", {0, 1, 2, 3, 4, 5, 6}),
        ):
            [window] = windows(f"{text}02:00-05:00").windows
            self.assertEqual(window.days, days)

    def test_nonsense_is_named(self) -> None:
        form = "is no window, such as 02:00-05:00 or Mon-Fri 22:00-05:00"
        for text, problem in (
            ("", f"'' {form}"),
            ("02:00-05:00,", f"'' {form}"),
            ("02:00", f"'02:00' {form}"),
            ("Mon", f"'Mon' {form}"),
            ("Mon-Fri", f"'Mon-Fri' {form}"),
            ("2-5", f"'2-5' {form}"),
            ("Mon Tue 02:00-05:00", f"'Mon Tue 02:00-05:00' {form}"),
            ("Mo 02:00-05:00", "'Mo' is no weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("Mon-So 02:00-05:00", "'So' is no weekday: Mon, Tue, Wed, Thu, Fri, Sat, Sun"),
            ("25:00-05:00", "'25:00' is no time of day from 00:00 to 24:00"),
            ("24:01-05:00", "'24:01' is no time of day from 00:00 to 24:00"),
            ("02:60-05:00", "'02:60' is no time of day from 00:00 to 24:00"),
            ("02:00-5", "'5' is no time of day from 00:00 to 24:00"),
            ("02:00-05:00-06:00", "'05:00-06:00' is no time of day from 00:00 to 24:00"),
            (
                "02:00-02:00",
                "'02:00-02:00' ends when it begins; 00:00-24:00 is a whole day",
            ),
            (
                "24:00-02:00",
                "'24:00-02:00' begins at 24:00, which is 00:00 of the next day",
            ),
        ):
            error = self.assertRaises(ValueError, windows, text)
            self.assertEqual(str(error), problem)

    @given(st.text("0123456789:-, MonFri", max_size=20) | st.text(max_size=20))
    def test_anything(self, text: str) -> None:
        try:
            parsed = windows(text)
        except ValueError:
            return
        self.assertIsNotNone(parsed.next_opening(SPRING))

    def test_zones(self) -> None:
        self.assertEqual(load_zone("Europe/Berlin"), BERLIN)
        for name in ("Europe/Nowhere", "../../etc/passwd", "Europe"):
            error = self.assertRaises(ValueError, load_zone, name)
            self.assertEqual(str(error), f"the device knows no time zone {name!r}")


class OpenTests(SynchronousTestCase):
    def test_bounds(self) -> None:
        night = windows("02:00-05:00")
        for text, is_open in (
            ("2027-01-15 01:59:59", False),
            ("2027-01-15 02:00:00", True),
            ("2027-01-15 04:59:59", True),
            ("2027-01-15 05:00:00", False),
        ):
            self.assertEqual(night.is_open(at(text)), is_open, text)

    def test_over_midnight_counts_the_day_of_the_beginning(self) -> None:
        nights = windows("Mon-Fri 22:00-05:00")
        for text, is_open in (
            ("2027-01-18 04:00", False),  # Monday
            ("2027-01-18 22:00", True),
            ("2027-01-19 04:59", True),
            ("2027-01-19 05:00", False),
            ("2027-01-22 23:00", True),  # Friday
            ("2027-01-23 04:00", True),
            ("2027-01-23 22:00", False),
        ):
            self.assertEqual(nights.is_open(at(text)), is_open, text)

    def test_up_to_midnight(self) -> None:
        for text in ("Mon 22:00-24:00", "Mon 22:00-00:00"):
            evening = windows(text)
            self.assertTrue(evening.is_open(at("2027-01-18 23:59")))
            self.assertFalse(evening.is_open(at("2027-01-19 00:00")))

    def test_the_zone_of_the_system(self) -> None:
        before = os.environ.get("TZ")
        self.addCleanup(time.tzset)
        self.addCleanup(_set_zone, before)
        _set_zone("Asia/Tokyo")
        time.tzset()
        night = parse_windows("02:00-05:00")
        here = at("2027-01-15 02:00", ZoneInfo("Asia/Tokyo"))
        self.assertFalse(night.is_open(here - 1))
        self.assertTrue(night.is_open(here))
        self.assertEqual(night.next_opening(here - 7 * HOUR), here)


def _set_zone(name: str | None) -> None:
    if name is None:
        os.environ.pop("TZ", None)
    else:
        os.environ["TZ"] = name


class OpeningTests(SynchronousTestCase):
    def test_an_open_one_opens_now(self) -> None:
        now = at("2027-01-15 03:00:07")
        self.assertEqual(windows("02:00-05:00").next_opening(now), now)

    def test_the_next_of_several(self) -> None:
        several = windows("Sat 10:00-11:00, 02:00-03:00")
        for now, opening in (
            ("2027-01-15 01:00", "2027-01-15 02:00"),  # Friday
            ("2027-01-15 03:00", "2027-01-16 02:00"),
            ("2027-01-16 03:00", "2027-01-16 10:00"),
            ("2027-01-16 11:00", "2027-01-17 02:00"),
        ):
            self.assertEqual(several.next_opening(at(now)), at(opening), now)

    def test_a_week_ahead(self) -> None:
        weekly = windows("Fri 02:00-03:00")
        self.assertEqual(weekly.next_opening(at("2027-01-15 03:00")), at("2027-01-22 02:00"))


class SummerTimeTests(SynchronousTestCase):
    """The clock shows no time from 02:00 to 03:00 on that morning."""

    def test_a_window_loses_the_hour(self) -> None:
        night = windows("01:00-04:00")
        self.assertTrue(night.is_open(SPRING - 1))
        self.assertTrue(night.is_open(SPRING))
        self.assertEqual(night.next_opening(SPRING - 2 * HOUR), SPRING - HOUR)
        self.assertFalse(night.is_open(SPRING + HOUR))  # which is 04:00

    def test_a_window_that_begins_in_the_hour_opens_after_it(self) -> None:
        night = windows("02:30-04:00")
        self.assertFalse(night.is_open(SPRING - 1))
        self.assertEqual(night.next_opening(SPRING - HOUR), SPRING)

    def test_a_window_within_the_hour_is_left_out(self) -> None:
        night = windows("02:15-02:45")
        self.assertEqual(night.next_opening(SPRING - HOUR), at("2027-03-29 02:15"))
        weekly = windows("Sun 02:15-02:45")
        self.assertEqual(weekly.next_opening(SPRING - HOUR), at("2027-04-04 02:15"))


class WinterTimeTests(SynchronousTestCase):
    """The clock shows the times from 02:00 to 03:00 twice on that morning."""

    def test_a_window_over_the_hour_gains_it(self) -> None:
        night = windows("01:00-04:00")
        opening = night.next_opening(AUTUMN - 3 * HOUR)
        self.assertEqual(opening, AUTUMN - 2 * HOUR)
        closing = AUTUMN + 2 * HOUR
        self.assertTrue(all(night.is_open(AUTUMN + each * 60) for each in range(-120, 120)))
        self.assertFalse(night.is_open(closing))

    def test_a_window_within_the_hour_opens_twice(self) -> None:
        night = windows("02:15-02:45")
        first, second = (at("2027-10-31 02:15", fold=fold) for fold in (0, 1))
        self.assertEqual(second - first, HOUR)
        self.assertEqual(night.next_opening(AUTUMN - HOUR), first)
        self.assertEqual(night.next_opening(first + HOUR / 2), second)

    def test_a_window_up_to_the_hour_opens_again(self) -> None:
        night = windows("01:30-02:30")
        self.assertFalse(night.is_open(AUTUMN - 1))
        self.assertEqual(night.next_opening(AUTUMN - 1), AUTUMN)


class OracleTests(SynchronousTestCase):
    """What the next opening is, by asking for every quarter of an hour."""

    @given(
        st.sampled_from([SPRING, AUTUMN]),
        st.integers(-300, 100),
        st.integers(0, 95),
        st.integers(0, 95),
    )
    def test_the_next_opening(self, change: float, when: int, start: int, end: int) -> None:
        if start == end:
            return
        shown = [f"{each // 4:02}:{each % 4 * 15:02}" for each in (start, end)]
        night = windows("-".join(shown))
        now = change + when * 900
        moments = (now + each * 900 for each in range(4 * 24 * 3))
        expected = next(moment for moment in moments if night.is_open(moment))
        self.assertEqual(night.next_opening(now), expected)

    def test_zones_that_change_at_midnight(self) -> None:
        havana = ZoneInfo("America/Havana")
        # 00:00 becomes 01:00. Cuba may change its rules for the future, and has from 2027.
        change = datetime(2025, 3, 9, 5, tzinfo=UTC)
        night = parse_windows("00:15-02:00", havana)
        before = (change - timedelta(hours=1)).timestamp()
        self.assertEqual(night.next_opening(before), change.timestamp())
