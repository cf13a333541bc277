"""The step that looks at the systemd unit."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

from .examination import Examination
from .finding import Finding, ok, skipped, warning

UNIT = "upparat"

BOOTED = Path("/run/systemd/system")
"""Is there if systemd has started the device: sd_booted(3)."""

_ASKED = "LoadState,Type,KillMode,WatchdogUSec,User"

_EXPECTED = {
    "Type": ("notify", "systemd does not know when the agent is ready"),
    "KillMode": ("process", "systemd kills hooks with the agent, a restart hook as well"),
}


def examine(examination: Examination, booted: Path = BOOTED) -> Iterator[Finding]:
    """One finding for each property that should be another, or one for the unit."""
    command = shutil.which("systemctl")
    if command is None or not booted.exists():
        yield skipped("systemd", "it does not run here")
        return
    found = _shown(command, examination.seconds(examination.limits.connect))
    if found.get("LoadState") != "loaded":
        yield skipped("systemd", f"there is no unit {UNIT}")
        return
    yield from judge_unit(found)


def judge_unit(found: Mapping[str, str]) -> Iterator[Finding]:
    """Compare the properties of the unit with those of the example."""
    problems = [
        (f"{name}={found.get(name)}: {meaning}", f"Set {name}={expected}")
        for name, (expected, meaning) in _EXPECTED.items()
        if found.get(name) != expected
    ]
    if found.get("WatchdogUSec") in (None, "", "0", "infinity"):
        problems.append(("there is no watchdog: a hang is for ever", "Set WatchdogSec=60"))
    for meaning, remedy in problems:
        yield warning("systemd", f"{UNIT}.service has {meaning}", f"{remedy} in [Service]")
    if not problems:
        user = found.get("User") or "root"
        yield ok("systemd", f"{UNIT}.service is fine; it runs the agent as {user}")


def _shown(command: str, seconds: float) -> Mapping[str, str]:
    """The properties of the unit; none if systemd does not answer."""
    words = [command, "show", UNIT, f"--property={_ASKED}"]
    try:
        shown = subprocess.run(words, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.SubprocessError):
        return {}
    lines = [line.partition("=") for line in shown.stdout.splitlines()]
    return {name: value for name, _, value in lines}
