"""Windows: the times of day, by the local clock, in which a step may begin.

A window is open while the local clock shows a time in it. So the change to summer time shortens a
window of that night, or leaves it out. In autumn the hour that the clock shows twice counts twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta, tzinfo

DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

_DAY = 24 * 60
_WEEK = len(DAYS)
_LOOK_AHEAD = 2 * _WEEK + 1
"""Days within which every window opens: the change to summer time can leave out one week's."""


@dataclass(frozen=True)
class Window:
    """One window.

    :ivar days: on which it begins; 0 is Monday.
    :ivar start: minutes after midnight.
    :ivar end: minutes after midnight, of the next day if it is not after ``start``.
    """

    days: frozenset[int]
    start: int
    end: int

    def shows(self, local: datetime) -> bool:
        """Whether a local clock shows a time in this window."""
        minute, today = local.hour * 60 + local.minute, local.weekday()
        if self.start < self.end:
            return today in self.days and self.start <= minute < self.end
        if minute >= self.start:
            return today in self.days
        return minute < self.end and (today - 1) % _WEEK in self.days


@dataclass(frozen=True)
class Windows:
    """Several windows; times are seconds since the epoch.

    :ivar zone: the time zone of the local clock; ``None`` for the system's.
    """

    windows: tuple[Window, ...]
    zone: tzinfo | None = None

    def is_open(self, now: float) -> bool:
        """Whether one of the windows is open."""
        local = datetime.fromtimestamp(now, self.zone)
        return any(window.shows(local) for window in self.windows)

    def next_opening(self, now: float) -> float | None:
        """Return when a window opens next: ``now`` if one is open, ``None`` if none ever opens."""
        if self.is_open(now):
            return now
        today = datetime.fromtimestamp(now, self.zone).date()
        for days in range(_LOOK_AHEAD):
            for moment in self._moments(today + timedelta(days)):
                if moment > now and self.is_open(moment):
                    return moment
        return None

    def _moments(self, day: date) -> list[float]:
        """The moments of a day at which a window may open, in order."""
        starts = (self._at(day, window.start, fold) for window in self.windows for fold in (0, 1))
        return sorted({*starts, *self._changes(day)})

    def _changes(self, day: date) -> list[float]:
        """When the offset of the local clock changes on a day: an hour is skipped or repeated."""
        before, after = self._at(day, 0), self._at(day + timedelta(1), 0)
        offset = self._offset(before)
        if self._offset(after) == offset:
            return []
        while after - before > 1:
            middle = (before + after) // 2
            if self._offset(middle) == offset:
                before = middle
            else:
                after = middle
        return [after]

    def _at(self, day: date, minutes: int, fold: int = 0) -> float:
        """When the local clock shows this time; ``fold``: for the second time."""
        shown = time(minutes // 60, minutes % 60, tzinfo=self.zone, fold=fold)
        return datetime.combine(day, shown).timestamp()

    def _offset(self, moment: float) -> timedelta:
        local, utc = (datetime.fromtimestamp(moment, zone) for zone in (self.zone, UTC))
        return local.replace(tzinfo=None) - utc.replace(tzinfo=None)


# --- reading ----------------------------------------------------------------------------------


def parse_windows(text: str, zone: tzinfo | None = None) -> Windows:
    """Read windows, separated by commas: ``02:00-05:00, Sat-Sun 22:00-06:00``.

    :raises ValueError: if they make no sense; the message names the part that does not.
    """
    return Windows(tuple(_window(each.strip()) for each in text.split(",")), zone)


def load_zone(name: str) -> tzinfo:
    """Return a time zone by its name.

    :raises ValueError: if the device does not know it.
    """
    from zoneinfo import ZoneInfo  # few devices need it

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # ZoneInfoNotFoundError is a KeyError
        raise ValueError(f"the device knows no time zone {name!r}") from None


def _window(text: str) -> Window:
    *days, times = re.sub(r"\s*-\s*", "-", text).split() or [""]
    start, dash, end = times.partition("-")
    if len(days) > 1 or not dash or ":" not in times:
        raise ValueError(f"{text!r} is no window, such as 02:00-05:00 or Mon-Fri 22:00-05:00")
    window = Window(_days(days[0]) if days else frozenset(range(_WEEK)), _time(start), _time(end))
    if window.start == window.end:
        raise ValueError(f"{text!r} ends when it begins; 00:00-24:00 is a whole day")
    if window.start == _DAY:
        raise ValueError(f"{text!r} begins at 24:00, which is 00:00 of the next day")
    return window


def _days(text: str) -> frozenset[int]:
    first, dash, last = text.partition("-")
    begin = _weekday(first)
    end = _weekday(last) if dash else begin
    return frozenset((begin + each) % _WEEK for each in range((end - begin) % _WEEK + 1))


def _weekday(text: str) -> int:
    name = text.capitalize()
    if name not in DAYS:
        raise ValueError(f"{text!r} is no weekday: {', '.join(DAYS)}")
    return DAYS.index(name)


def _time(text: str) -> int:
    found = re.fullmatch(r"([0-9]{1,2}):([0-9]{2})", text)
    minutes = int(found[1]) * 60 + int(found[2]) if found else _DAY + 1
    if minutes > _DAY or (found is not None and int(found[2]) > 59):
        raise ValueError(f"{text!r} is no time of day from 00:00 to 24:00")
    return minutes
