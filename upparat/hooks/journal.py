"""The journal of a hook's attempts, as :class:`~upparat.storage.record.FileRecord` keeps it."""

from __future__ import annotations

from typing import Protocol

from upparat.job import ExecutionKey, Hook


class HookAttempts(Protocol):
    """Remembers across a crash how often a hook was run for an execution."""

    def last_attempt(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        """The retry count of the last run that was begun, and the seconds since the first call;
        ``None`` if the hook was not begun, or is over."""

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        """A run begins."""

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        """The hook has done what it was run for, or has failed for good."""

    def left(self, key: ExecutionKey) -> None:
        """The agent is stopped by the restart hook, or while it runs."""
