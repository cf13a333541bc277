"""The progress of an install by hand, by the statuses of the agent that does it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from typing import Any

from upparat.control.client import AskingFailed
from upparat.control.protocol import InstallRequest
from upparat.control.render import line, rows
from upparat.control.screen import StatusScreen
from upparat.job import LOCAL
from upparat.text import printable

_SHOWN = ("State", "Job", "Download", "Hook", "Waits")

NONE_OF_LATE = "nothing was installed by hand of late"

Status = dict[str, Any]


def begun(accepted: Mapping[str, Any], order: InstallRequest) -> str:
    """Say that the agent has accepted an order. Returns the id of the job that it has made."""
    job_id = printable(str(accepted.get("job", "")))
    print(f"{job_id}: version {printable(str(order.document['version']))}", flush=True)
    return job_id


class InstallProgress:
    """Shows an install until it has ended.

    :param job_id: of the install; ``None`` for the one in hand, or else the last one.
    """

    def __init__(self, job_id: str | None) -> None:
        self._job_id = job_id
        self._show = _shower()

    def take(self, status: Status) -> Status | None:
        """Show a status. Returns the install as a job of the history, once it has ended.

        :raises AskingFailed: if there is no such install.
        """
        past = self._ended(status)
        if past is None:
            self._show(status)
        return past

    def _ended(self, status: Status) -> Status | None:
        in_hand = status.get("install")
        if self._job_id is None:
            last = (job["id"] for job in status["history"] if job["id"].startswith(LOCAL))
            self._job_id = in_hand or next(last, None)
        if self._job_id is None:
            raise AskingFailed(NONE_OF_LATE, 1)
        if in_hand == self._job_id:
            return None
        for job in status["history"]:
            if job["id"] == self._job_id:
                found: Status = job
                return found
        raise AskingFailed(f"the agent knows nothing of {self._job_id} any more", 1)


def _shower() -> Callable[[Status], None]:
    screen = StatusScreen(sys.stdout)
    if screen.live:
        return lambda status: screen.draw([row for row in rows(status) if row.label in _SHOWN])
    told: list[str] = []

    def show(status: Status) -> None:
        text = line(status)
        if text not in told[-1:]:
            told.append(text)
            print(text, flush=True)

    return show
