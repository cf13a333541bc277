"""Durations, rates, percentages and times, as the command line has them and AWS wants them.

The bounds are those of the developer guide and of botocore's model of AWS IoT.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

MOST_MINUTES = 7 * 24 * 60
MOST_PER_MINUTE = 1000
MOST_RETRIES = 10
ABORT_AFTER = 10
"""Devices that must have been notified before a rollout can be aborted, unless said otherwise."""

SHORTEST_SCHEDULE = timedelta(minutes=30)

_MINUTES = {"m": 1, "h": 60, "d": 24 * 60}
_TIME = "%Y-%m-%dT%H:%M"


@dataclass(frozen=True)
class AbortRule:
    """Cancel the rest of a rollout if so many per cent have failed of ``after`` devices or more."""

    percent: float
    after: int


@dataclass(frozen=True)
class Schedule:
    """The times (UTC, ``YYYY-MM-DDThh:mm``) of a rollout; empty for none."""

    start: str
    end: str


def minutes(text: str) -> int:
    """Parse a duration such as ``90m``, ``2h`` or ``1d12h``.

    :raises ValueError: if it is none, or not within 1 minute and 7 days.
    """
    if not re.fullmatch(r"(\d{1,6}[mhd])+", text):
        raise ValueError(f"{text!r} is no duration such as 90m, 2h or 1d12h")
    total = sum(int(n) * _MINUTES[unit] for n, unit in re.findall(r"(\d+)([mhd])", text))
    if not 1 <= total <= MOST_MINUTES:
        raise ValueError(f"{text!r} is not within 1m and 7d")
    return total


def per_minute(text: str) -> int:
    """Parse a rate such as ``50/min``.

    :raises ValueError: if it is none, or not within 1 and 1000 a minute.
    """
    found = re.fullmatch(r"(\d{1,6})/min", text)
    if not found:
        raise ValueError(f"{text!r} is no rate such as 50/min")
    if not 1 <= int(found[1]) <= MOST_PER_MINUTE:
        raise ValueError(f"{text!r} is not within 1/min and {MOST_PER_MINUTE}/min")
    return int(found[1])


def abort_rule(text: str) -> AbortRule:
    """Parse ``20%``, or ``20%/50`` for 20 per cent of at least 50 devices.

    :raises ValueError: if it is none. AWS knows two digits behind the point.
    """
    found = re.fullmatch(r"(\d{1,3}(?:\.\d{1,2})?)%(?:/(\d{1,7}))?", text)
    if not found:
        raise ValueError(f"{text!r} is no percentage such as 20% or 20%/50")
    percent, after = float(found[1]), int(found[2] or ABORT_AFTER)
    if not 0 < percent <= 100:
        raise ValueError(f"{text!r} is not above 0% and up to 100%")
    if after < 1:
        raise ValueError(f"{text!r} names no device: at least 1 must have the job")
    return AbortRule(percent, after)


def retries(text: str) -> int:
    """Parse how often AWS queues a failed execution again.

    :raises ValueError: if it is no number within 1 and 10.
    """
    if not re.fullmatch(r"\d{1,6}", text) or not 1 <= int(text) <= MOST_RETRIES:
        raise ValueError(f"{text!r} is no number within 1 and {MOST_RETRIES}")
    return int(text)


def schedule(text: str) -> Schedule:
    """Parse ``START/END``, ``START/`` or ``/END``: times in UTC such as ``2027-01-31T02:00``.

    :raises ValueError: if it is none, or shorter than 30 minutes.
    """
    start, slash, end = text.partition("/")
    if not slash or not start + end:
        raise ValueError(f"{text!r} is not START/END, START/ or /END")
    times = [_time(each) for each in (start, end) if each]
    if len(times) == 2 and times[1] - times[0] < SHORTEST_SCHEDULE:
        raise ValueError(f"{text!r}: END must be 30 minutes after START or later")
    return Schedule(start, end)


def _time(text: str) -> datetime:
    try:
        time = datetime.strptime(text, _TIME)
    except ValueError:
        time = None
    if time is None or time.strftime(_TIME) != text:
        raise ValueError(f"{text!r} is no time (UTC) such as 2027-01-31T02:00")
    return time
