"""Makes the arguments and the environment of a hook."""

from __future__ import annotations

import os
from dataclasses import dataclass

from upparat.job import Hook, Job

from .pidfiles import AGENT, HOOK


@dataclass(frozen=True)
class Call:
    """The facts that a hook gets. Never log ``meta`` and the job's URL.

    :ivar file: the path for an install hook, or the state that a job has come to.
    :ivar reason: why it has.
    :ivar url: for an install hook that fetches the file itself.
    :ivar agent: the agent's state directory.
    """

    hook: Hook
    job: Job
    file: str = ""
    retry: int = 0
    elapsed: int = 0
    agent: str = ""
    reason: str = ""
    url: str = ""

    @property
    def force(self) -> str:
        """The force flag as 1.x passed it: ``True`` or nothing."""
        return "True" if self.job.force else ""

    def arguments(self) -> list[bytes]:
        """Seconds since the first attempt, retry count, meta, and the argument of this hook."""
        words = [str(self.elapsed), str(self.retry), self.job.meta]
        if self.hook in (Hook.INSTALL, Hook.ROLLBACK, Hook.CLEANUP):
            words.append(self.url or self.file)
        elif self.hook is Hook.RESTART:
            words.append(self.force)
        return [_encode(word) for word in words]

    def environment(self) -> dict[bytes, bytes]:
        """The agent's own environment with the same facts, and some more, by name."""
        facts = {
            "UPPARAT_JOB_ID": self.job.job_id,
            "UPPARAT_VERSION": self.job.version,
            "UPPARAT_FILE": (self.url or self.file) if self.hook is Hook.INSTALL else "",
            "UPPARAT_META": self.job.meta,
            "UPPARAT_FORCE": self.force,
            "UPPARAT_RETRY": str(self.retry),
            "UPPARAT_ELAPSED": str(self.elapsed),
            HOOK: self.hook.value,
            AGENT: self.agent,
            **self._end(),
            **self._facts_for_installer(),
        }
        return {**os.environb, **{name.encode(): _encode(value) for name, value in facts.items()}}

    def _end(self) -> dict[str, str]:
        """What has become of the job, for the hooks that come after it."""
        if self.hook is Hook.ROLLBACK:
            return {"UPPARAT_FAILED_STATE": self.file, "UPPARAT_REASON": self.reason}
        if self.hook is Hook.CLEANUP:
            return {"UPPARAT_STATE": self.file, "UPPARAT_REASON": self.reason}
        return {}

    def _facts_for_installer(self) -> dict[str, str]:
        """What an installer that fetches the file has to verify it with."""
        if not self.url:
            return {}
        size = self.job.size
        return {
            "UPPARAT_URL": self.url,
            "UPPARAT_SIZE": "" if size is None else str(size),
            "UPPARAT_SHA256": self.job.sha256 or "",
            "UPPARAT_SHA512": self.job.sha512 or "",
        }


def _encode(text: str) -> bytes:
    return text.encode(errors="replace")  # JSON can hold lone surrogates
