"""The rules of the owner, as the configuration has them."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from .windows import Windows


class StepRule(StrEnum):
    """``[policy] download``, ``install`` and ``restart``: when the step may begin."""

    ALWAYS = "always"
    WINDOW = "window"
    ASK = "ask"
    ASK_OR_WINDOW = "ask-or-window"

    @property
    def asks(self) -> bool:
        """Whether an approval is asked for."""
        return self in (StepRule.ASK, StepRule.ASK_OR_WINDOW)

    @property
    def waits_for_window(self) -> bool:
        """Whether the step may begin in a window."""
        return self in (StepRule.WINDOW, StepRule.ASK_OR_WINDOW)


class PolicyRules(Protocol):
    """The options of ``[policy]``; times are in seconds."""

    @property
    def download(self) -> StepRule: ...
    @property
    def install(self) -> StepRule: ...
    @property
    def restart(self) -> StepRule: ...
    @property
    def window(self) -> Windows | None: ...
    @property
    def deadline(self) -> float | None: ...
    @property
    def clock_patience(self) -> float: ...
    @property
    def force_skips_policy(self) -> bool: ...
