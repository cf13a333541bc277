"""Durations as people write them: ``90s``, ``30m``, ``2h``, ``7d``."""

from __future__ import annotations

import re

_UNITS = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}


def parse_duration(text: str) -> float:
    """Return the seconds of a duration.

    :raises ValueError: if it is none, or 0.
    """
    found = re.fullmatch(r"([0-9]{1,6}(?:[.][0-9]{1,3})?)\s*(s|min|m|h|d|w)", text.strip().lower())
    if found is None:
        raise ValueError(f"{text!r} is no duration, such as 90s, 30m, 2h or 7d")
    seconds = float(found[1]) * _UNITS[found[2]]
    if not seconds:
        raise ValueError(f"{text!r} is no time at all")
    return seconds
