"""The budget of attempts that one execution has for its download."""

from __future__ import annotations

from dataclasses import dataclass

from upparat.job import ExecutionKey

MAX_RESTARTS = 10
"""How often an execution may restart from byte 0 until bytes no longer count as progress."""


@dataclass
class Budget:
    """The attempts and failures of an execution. Progress beyond the high-water mark renews it,
    but slow progress does not renew the attempts.

    :ivar attempts: attempts in a row without progress, or with slow progress.
    :ivar refusals: refusals of the URL in a row without progress.
    :ivar high_water_mark: the highest number of bytes so far.
    :ivar restarts: how often the download has restarted from byte 0.
    :ivar retried_mismatch: a wrong file was discarded once, and downloaded again.
    :ivar disk_failures: how often the disk has refused.
    """

    key: ExecutionKey
    attempts: int = 0
    refusals: int = 0
    high_water_mark: int = 0
    restarts: int = 0
    retried_mismatch: bool = False
    disk_failures: int = 0

    def reached(self, length: int) -> None:
        """Take note that so many bytes are here."""
        if length > self.high_water_mark:
            self.high_water_mark = length
            self.refusals = 0

    def renew(self) -> None:
        """Take note that an attempt has brought new bytes fast enough."""
        self.attempts = 0

    def restart(self) -> None:
        """Take note of a restart from byte 0: bytes count as progress again, at most MAX_RESTARTS
        times, because a file that changes all the time would never be complete."""
        self.restarts += 1
        if self.restarts <= MAX_RESTARTS:
            self.high_water_mark = 0
