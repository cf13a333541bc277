"""The control of one agent: its socket, and the history of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger

from upparat.config.settings import ControlSettings
from upparat.job import ExecutionKey
from upparat.snapshots import EndedJob

from .listener import ControlListener
from .reactor import ControlReactor

if TYPE_CHECKING:
    from .agent import Agent
    from .desk import Desk, JobLogReader
    from .history import History


class ControlService(Service):
    """Serves the control socket while it runs. Nothing of it raises into the agent.

    :param make_agent: makes what the status comes from, when somebody asks first.
    :param check_now: asks AWS for the jobs; returns ``False`` if there is no connection.
    :param state_dir: the directory for the history of the jobs.
    :param logs: the logs of the jobs, if the agent keeps them.
    :param now: returns the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        reactor: ControlReactor,
        settings: ControlSettings,
        make_agent: Callable[[], Agent],
        check_now: Callable[[], bool],
        state_dir: Path,
        logs: JobLogReader | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._reactor = reactor
        self._make_agent = make_agent
        self._check_now = check_now
        self._state_dir = state_dir
        self._logs = logs
        self._now = now
        self._history: History | None = None
        self._desk: Desk | None = None
        self._listener = ControlListener(reactor, settings, self._make_client)

    def startService(self) -> None:
        super().startService()
        self._listener.start()

    def stopService(self) -> Deferred[None]:
        """Close the connections, and remove the socket file."""
        super().stopService()
        if self._desk is not None:
            self._desk.drop_all()
        return self._listener.stop()

    @property
    def desk(self) -> Desk:
        """The desk that everybody asks; it is made when it is needed first."""
        if self._desk is None:
            self._desk = self._make_desk()
        return self._desk

    def job_begun(self, key: ExecutionKey) -> None:
        """Take note that the agent works on a job."""
        try:
            self._loaded_history().begin(key)
        except Exception:
            self.log.failure("The history of the jobs has raised")

    def job_ended(self, ended: EndedJob) -> None:
        """Take note of the end of a job."""
        try:
            self._loaded_history().add(ended)
        except Exception:
            self.log.failure("The history of the jobs has raised")

    # --- what an agent at rest does without ---

    def _loaded_history(self) -> History:
        from .history import History

        if self._history is None:
            self._history = History(self._state_dir, self._now)
            self._history.load()
        return self._history

    def _make_client(self) -> Protocol:
        from .server import ControlProtocol

        return ControlProtocol(self.desk)

    def _make_desk(self) -> Desk:
        from .desk import Desk
        from .status import StatusBuilder

        history = self._loaded_history()
        agent = self._make_agent()
        status = StatusBuilder(agent, lambda: history.jobs, self._now)
        decisions, installs = agent.decisions, agent.installs
        return Desk(self._reactor, status, self._check_now, self._logs, decisions, installs)
