"""The steps that look at the clock and the time zone."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from datetime import timedelta
from pathlib import Path

from upparat.policy.clock import RELEASED

from .examination import Examination
from .finding import Finding, failed, ok, skipped, warning

MOST_SKEW = timedelta(minutes=5)
"""Between the clock and a server's. Certificates are seldom younger."""

LOCALTIME = Path("/etc/localtime")

SET_IT = "Set the clock: NTP, a battery, or the time of the last shutdown"


def examine(examination: Examination) -> Iterator[Finding]:
    """Whether the clock can be right."""
    now = examination.now()
    shown = f"{now:%Y-%m-%d %H:%M} UTC"
    if now < RELEASED:
        meaning = f"it is {shown}, before this version was released: TLS takes no certificate"
        yield failed("clock", meaning, SET_IT)
    else:
        yield ok("clock", f"it is {shown}")


def compare(examination: Examination) -> Iterator[Finding]:
    """Compare the clock with the ``Date`` of the HTTP server that was asked."""
    theirs = examination.server_time
    if theirs is None:
        yield skipped("server time", "no HTTP server has told the time")
        return
    skew = abs(examination.now() - theirs)
    if skew > MOST_SKEW:
        meaning = f"the server says {theirs:%Y-%m-%d %H:%M} UTC, which is {_shown(skew)} off"
        yield warning("server time", meaning, SET_IT)
    else:
        yield ok("server time", "the clock agrees with the server's")


def _shown(skew: timedelta) -> str:
    return f"{skew.days} days" if skew.days else f"{skew.seconds // 60} minutes"


def examine_zone(examination: Examination) -> Iterator[Finding]:
    """Whether local times are those of the device's place."""
    yield judge_zone(os.environ, LOCALTIME)


def judge_zone(environ: Mapping[str, str], localtime: Path) -> Finding:
    """Read the time zone as the C library does: ``TZ``, or the system's file."""
    name = environ.get("TZ", "").removeprefix(":")
    remedy = "Set the time zone: timedatectl set-timezone, or install tzdata"
    if name:
        return _named(name, remedy)
    if not os.path.lexists(localtime):
        return ok("time zone", f"UTC: there is no {localtime}")
    try:
        good = localtime.read_bytes().startswith(b"TZif")
    except OSError as error:
        what = f"{localtime} cannot be read ({error.strerror}): local times are UTC"
        return warning("time zone", what, remedy)
    if not good:
        return warning("time zone", f"{localtime} is no time zone: local times are UTC", remedy)
    _, found, place = os.path.realpath(localtime).partition("/zoneinfo/")
    return ok("time zone", place if found else f"as {localtime} says")


def _named(name: str, remedy: str) -> Finding:
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(name)
    except (OSError, ValueError):  # ZoneInfoNotFoundError is a KeyError
        pass
    except KeyError:
        if any(each.isdigit() for each in name):  # such as CET-1CEST, which names no file
            return ok("time zone", f"{name}, by TZ")
        return warning("time zone", f"TZ is {name}, which is unknown", remedy)
    else:
        return ok("time zone", f"{name}, by TZ")
    return warning("time zone", f"TZ is {name}, which cannot be read", remedy)
