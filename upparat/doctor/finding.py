"""A finding: what one step has found out, what that means, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    SKIPPED = "skipped"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Finding:
    """One line of the report. No text of it holds a secret.

    :ivar name: what was tried.
    :ivar meaning: what was found, and what it means for updates.
    :ivar remedy: what to do; empty if nothing needs to be done.
    """

    name: str
    level: Level
    meaning: str
    remedy: str = ""

    def __str__(self) -> str:
        line = f"{self.level:8}{self.name}: {self.meaning}"
        return f"{line}. {self.remedy}" if self.remedy else line


def ok(name: str, meaning: str) -> Finding:
    return Finding(name, Level.OK, meaning)


def skipped(name: str, reason: str) -> Finding:
    return Finding(name, Level.SKIPPED, reason)


def warning(name: str, meaning: str, remedy: str) -> Finding:
    return Finding(name, Level.WARNING, meaning, remedy)


def failed(name: str, meaning: str, remedy: str) -> Finding:
    return Finding(name, Level.FAILED, meaning, remedy)


def exit_status(findings: Iterable[Finding]) -> int:
    """The exit status by the worst finding: 0 without a warning, 1 with one, 2 after a failure."""
    levels = {finding.level for finding in findings}
    if Level.FAILED in levels:
        return 2
    return int(Level.WARNING in levels)
