"""The outcome of a hook, as a run reports it to the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias


@dataclass(frozen=True)
class Done:
    """The hook has succeeded."""


@dataclass(frozen=True)
class Failed:
    """The hook has failed for good.

    :ivar reason: one line for the log and for AWS.
    """

    reason: str


@dataclass(frozen=True)
class Withdrawn:
    """The caller has ended the hook and knows the reason. Report and log nothing."""


Outcome: TypeAlias = Done | Failed | Withdrawn
