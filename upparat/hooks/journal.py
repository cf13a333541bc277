"""The journal of a hook's attempts, as :class:`~upparat.storage.record.FileRecord` keeps it."""

from __future__ import annotations

from typing import Protocol

from upparat.job import ExecutionKey, Hook


class HookAttempts(Protocol):
    """Remembers the attempts of each hook for an execution, even after a crash."""

    def last_attempt(self, key: ExecutionKey, hook: Hook) -> tuple[int, float] | None:
        """Return the retry count of the last attempt, and the seconds since the first one;
        ``None`` if there was none, or the hook has succeeded or failed for good."""

    def begun(self, key: ExecutionKey, hook: Hook, retry: int, elapsed: float) -> None:
        """Note that an attempt begins; ``elapsed`` is in seconds since the first one."""

    def waiting(self, key: ExecutionKey, hook: Hook) -> None:
        """Note that the attempt has ended, and that the hook has asked for another one later."""

    def over(self, key: ExecutionKey, hook: Hook) -> None:
        """Forget the attempts: the hook has succeeded or failed for good."""

    def left(self, key: ExecutionKey) -> None:
        """Note that the agent stops while, or because, the restart hook runs."""
