"""The control of one agent: its socket, and the history of its jobs."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from upparat.config.settings import ControlSettings
from upparat.snapshots import EndedJob

from .desk import Desk, JobLogReader
from .history import History
from .listener import ControlListener
from .reactor import ControlReactor
from .server import ControlFactory
from .status import Agent, StatusBuilder


class ControlService(Service):
    """Serves the control socket while it runs. Nothing of it raises into the agent.

    :param agent: where the status comes from.
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
        agent: Agent,
        check_now: Callable[[], bool],
        state_dir: Path,
        logs: JobLogReader | None = None,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._history = History(state_dir, now)
        status = StatusBuilder(agent, lambda: self._history.jobs, now)
        self._factory = ControlFactory(Desk(reactor, status, check_now, logs))
        self._listener = ControlListener(reactor, self._factory, settings)

    def startService(self) -> None:
        super().startService()
        self._history.load()
        self._listener.start()

    def stopService(self) -> Deferred[None]:
        """Close the connections, and remove the socket file."""
        super().stopService()
        return self._listener.stop()

    def job_ended(self, ended: EndedJob) -> None:
        """Take note of the end of a job."""
        try:
            self._history.add(ended)
        except Exception:
            self.log.failure("The history of the jobs has raised")
