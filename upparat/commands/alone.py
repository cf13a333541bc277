"""``upparat install`` where no agent runs: this process is the agent until the install is over.

It has the directories, the desk, the machine, the record and the hooks of the agent, and no
connection. So whatever stops it, the next agent goes on.
"""

from __future__ import annotations

import os
import pwd
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING

from upparat.byhand.spool import InstallSpool, unfinished
from upparat.config.settings import Settings
from upparat.control.client import EX_NOPERM, EX_TEMPFAIL, AskingFailed, exit_status
from upparat.control.history import read_history
from upparat.control.peer import Credentials
from upparat.control.protocol import (
    ControlRequest,
    InstallRequest,
    Message,
    RequestKind,
    RequestRefused,
)
from upparat.control.status import past
from upparat.job import LOCAL
from upparat.storage.lock import Claim
from upparat.storage.record import FileRecord
from upparat.tap import claim_or_exit, load_or_exit
from upparat.text import printable

from .progress import NONE_OF_LATE, InstallProgress, Status, begun

if TYPE_CHECKING:
    from upparat.control.desk import Desk, DeskClient

STOPPED = "stopped before the end; 'upparat install --wait' or the agent goes on"


def install_alone(config: str, order: InstallRequest | None) -> Status:
    """Install a file, or go on with the last install. Returns it as a job of the history.

    :param config: the path of the configuration file.
    :raises AskingFailed: if it cannot be done now, or the process was stopped before the end.
    """
    settings = load_or_exit(config, "", must_run=True, online=False)
    _check_user(settings)
    claim = claim_or_exit(settings)
    try:
        earlier = _earlier(settings)
        if order is None and earlier is None:
            return _last(settings)
        if order is not None and earlier is not None:
            raise AskingFailed(f"{earlier} is not over yet: see --wait", EX_TEMPFAIL)
        return _run(settings, claim, order)
    finally:
        claim.release()


def _run(settings: Settings, claim: Claim, order: InstallRequest | None) -> Status:
    from .run import run_offline  # installs the reactor

    install = AloneInstall(order)
    run_offline(settings, claim, install.begin)
    return install.end()


def _last(settings: Settings) -> Status:
    """Return the last install by hand that is over."""
    try:
        for job in read_history(settings.service.state_dir):
            if job.id.startswith(LOCAL):
                return dict(past(job))
    except (OSError, ValueError) as problem:
        raise AskingFailed(f"the history cannot be read: {problem}", 1) from None
    raise AskingFailed(NONE_OF_LATE, 1)


def _check_user(settings: Settings) -> None:
    """Refuse users who could not go on with what the agent has, or whose files it could not use."""
    directory = settings.service.state_dir
    with suppress(FileNotFoundError):
        owner = directory.stat().st_uid
        if owner != os.geteuid():
            name = f"user {owner}"
            with suppress(KeyError):
                name = pwd.getpwuid(owner).pw_name
            problem = f"no agent runs, and {directory} belongs to {name}"
            raise AskingFailed(f"{problem}: run the command as that user", EX_NOPERM)


def _earlier(settings: Settings) -> str | None:
    """Return the id of the install that an agent has begun, and that is not over. After its end
    the record keeps that end until the cleanup hook has come to its own.

    :raises AskingFailed: if a job of AWS is in hand.
    """
    record = FileRecord(settings.service.state_dir)
    memory = record.load()
    if memory is not None and not memory.key.local:
        job_id = printable(memory.key.job_id)
        raise AskingFailed(f"job {job_id} is in hand: it waits for its agent", EX_TEMPFAIL)
    remembered = memory.key if memory else None
    install = unfinished(InstallSpool(settings.service.state_dir).load(), remembered)
    if install is not None:
        return install.job_id
    return next((each.job_id for each, _ in record.owed() if each.key.local), None)


class AloneInstall:
    """The client of the agent that runs in this process.

    :param order: what is to be installed; ``None`` for what was begun before.
    """

    def __init__(self, order: InstallRequest | None) -> None:
        self._order = order
        self._progress: InstallProgress | None = None
        self._stop: Callable[[], None] = lambda: None
        self._past: Status | None = None
        self._failed: AskingFailed | None = None

    def begin(self, desk: Desk, stop: Callable[[], None]) -> None:
        """Give the order, and follow the install.

        :param stop: stops the agent; it is called once the install is over.
        """
        self._stop = stop
        try:
            job_id = self._give(self._order, desk) if self._order is not None else None
        except RequestRefused as refused:
            self._fail(AskingFailed(str(refused), exit_status(refused.code)))
        else:
            self._progress = InstallProgress(job_id)
            desk.follow(self)

    def end(self) -> Status:
        """Return the install as a job of the history.

        :raises AskingFailed: if it was refused, or the agent was stopped before its end.
        """
        if self._past is None:
            raise self._failed or AskingFailed(STOPPED, EX_TEMPFAIL)
        return self._past

    def _give(self, order: InstallRequest, desk: Desk) -> str:
        who = Credentials(os.getpid(), os.getuid(), os.getgid())
        request = ControlRequest(RequestKind.INSTALL, order=order)
        return begun(desk.install(request, who), order)

    def _fail(self, failed: AskingFailed) -> None:
        self._failed = failed
        self._stop()

    # --- a client of the desk ---

    def send(self, message: Message) -> None:
        """Take a status."""
        if self._progress is None:
            return
        try:
            past = self._progress.take(dict(message))
        except AskingFailed as failed:
            self._progress = None
            self._fail(failed)
            return
        if past is not None:
            self._progress, self._past = None, past
            self._stop()

    def send_status(self, message: Message) -> None:
        """Take a newer status."""
        self.send(message)

    def drop(self) -> None:
        """The agent cannot tell how far it is: stop, because nobody would hear of the end."""
        self._stop()


def _is_client(install: AloneInstall) -> DeskClient:
    return install
