"""The outcome of a hook, as a run reports it to the runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias


@dataclass(frozen=True)
class Done:
    """The hook has succeeded."""


@dataclass(frozen=True)
class Failed:
    """The hook has failed for good.

    :ivar reason: one line for the log and for AWS.
    :ivar facts: how the last run has ended, for AWS.
    """

    reason: str
    facts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Withdrawn:
    """The caller has ended the hook and knows the reason. Report and log nothing."""


Outcome: TypeAlias = Done | Failed | Withdrawn
