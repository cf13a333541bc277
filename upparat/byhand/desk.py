"""Takes orders for installs from people at the device."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.logger import Logger

from upparat.job import ACTION, LOCAL, ExecutionKey, JobExecution, Status, parse_document

from .jobs import InstallJobs
from .spool import InstallOrder


class InstallDesk:
    """Makes executions of orders. Each is in the log, with who has given it.

    :param admit: raises ``PermissionError`` if this user may not decide.
    :param now: returns the time of day, in seconds since the epoch.
    """

    log = Logger()

    def __init__(
        self,
        jobs: InstallJobs,
        admit: Callable[[int], None],
        now: Callable[[], float] = time.time,
    ) -> None:
        self._jobs = jobs
        self._admit = admit
        self._now = now

    def install(self, path: str, offset: int, document: dict[str, Any], uid: int, pid: int) -> str:
        """Take an order, and return the id of its job.

        :raises PermissionError: if the user may not decide.
        :raises ValueError: if the order could never work; with all problems at once.
        :raises RuntimeError: if another install is not over yet, or the disk refuses.
        """
        self._admit(uid)
        other = self._jobs.in_hand_id()
        if other is not None:
            raise RuntimeError(f"{other} is not over yet")
        order = InstallOrder(Path(path), offset, document)
        install = self._execution(order)
        parse_document(install)
        self._log(order, install, uid, pid)
        try:
            self._jobs.begin(install)
        except OSError as error:
            raise RuntimeError(f"the order cannot be stored: {error}") from None
        return install.job_id

    def _execution(self, order: InstallOrder) -> JobExecution:
        document = order.document
        size = document.get("size")
        if not order.path.is_absolute() or "\0" in str(order.path):
            raise ValueError("path: must be an absolute path")
        if document.get("action") != ACTION:
            raise ValueError(f"action: must be {ACTION!r}")
        if document.get("sha256") is None or type(size) is not int or size < 0:
            raise ValueError("sha256, size: are missing")
        others = {key: each for key, each in document.items() if key not in ("delta", "log_url")}
        from upparat.download.medium import medium_url  # few devices need it

        url = medium_url(order.path, order.offset, size)
        key = ExecutionKey(f"{LOCAL}{secrets.token_hex(4)}", 1, int(self._now()))
        return JobExecution(key, Status.QUEUED, 0, document={**others, "file": url})

    def _log(self, order: InstallOrder, install: JobExecution, uid: int, pid: int) -> None:
        self.log.info(
            "{job_id}: version {version!r} is to be installed from {path}, "
            "by user {uid}, process {pid}",
            job_id=install.job_id,
            version=order.document.get("version"),
            path=str(order.path),
            uid=uid,
            pid=pid,
            execution=install.key,
        )
