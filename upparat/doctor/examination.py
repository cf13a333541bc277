"""What the steps of one examination have in common."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from upparat.config.ini import Problem
from upparat.config.settings import Settings

SUFFIX = "-doctor"
"""Ends the client id beside a running agent, whose own id would throw the agent out."""

MAX_CLIENT_ID = 128
"""Bytes of a client id that AWS accepts."""


@dataclass(frozen=True)
class Limits:
    """Seconds that each wait may take.

    :ivar total: all steps together; what is left then is skipped.
    :ivar connect: a name lookup, a connection, a handshake.
    :ivar disk: a file is written, synced and replaced.
    :ivar answer: an answer of the broker.
    :ivar jobs: the answer of AWS IoT Jobs behind it.
    :ivar watch: how long a connection is watched for another client that takes it over.
    :ivar pause: between two connections with one client id; AWS accepts one in a second.
    """

    total: float = 60.0
    connect: float = 8.0
    disk: float = 10.0
    answer: float = 8.0
    jobs: float = 8.0
    watch: float = 5.0
    pause: float = 1.1


def _now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Examination:
    """The facts that steps work on, and those that they leave to later steps.

    :ivar unreadable: why the configuration file cannot be read; empty if it can.
    :ivar agent: the process that works in the directories of the configuration, if there is one.
    :ivar server_time: what an HTTP server has said that the time is.
    """

    settings: Settings
    problems: Sequence[Problem] = ()
    unreadable: str = ""
    path: str = ""
    url: str = ""
    agent: str = ""
    limits: Limits = Limits()
    now: Callable[[], datetime] = _now
    topics_refused: str = ""
    server_time: datetime | None = None
    _begin: float = field(default_factory=time.monotonic)
    _last_dial: float | None = None

    def seconds(self, most: float) -> float:
        """How long a wait may take; never 0, because a socket would not wait at all."""
        return max(min(most, self.left), 0.1)

    @property
    def left(self) -> float:
        """Seconds until the examination has taken too long."""
        return self._begin + self.limits.total - time.monotonic()

    @property
    def client_id(self) -> str:
        """The client id of the agent, or another one while the agent runs."""
        own = self.settings.broker.client_id
        if not self.agent:
            return own
        kept = own.encode()[: MAX_CLIENT_ID - len(SUFFIX)].decode(errors="ignore")
        return kept + SUFFIX

    def pace(self) -> None:
        """Wait until the broker takes another connection with the same client id."""
        if self._last_dial is not None:
            time.sleep(max(self._last_dial + self.limits.pause - time.monotonic(), 0.0))
        self._last_dial = time.monotonic()
