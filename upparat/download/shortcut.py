"""The contract between a download and a shortcut: another way to the bytes of the file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from twisted.internet.defer import Deferred

from upparat.job import Job

from .attempt import Outcome
from .budget import Budget
from .partial import PartialDownload
from .work import BackgroundWork


@dataclass(frozen=True)
class Journey:
    """One transfer, as a shortcut sees it.

    :ivar put: takes the next bytes of the file; fires when more may come.
    :ivar on_data: called with the number of bytes that have come from a server.
    """

    job: Job
    partial: PartialDownload
    budget: Budget
    work: BackgroundWork
    put: Callable[[bytes], Deferred[None]]
    on_data: Callable[[int], None] = lambda count: None


class Shortcut(Protocol):
    """Brings bytes that need not come from the URL of the file.

    It fails without harm: then the rest comes from the URL, or all of it.
    """

    @property
    def reused(self) -> int:
        """Bytes of the file in hand that the device had already."""

    async def attempt(self, journey: Journey) -> Outcome | None:
        """Bring all that is missing. ``None``: take the URL of the file from now on.

        :raises DiskError: if the disk refuses.
        :raises CannotRestart: if only another run of the install hook helps.
        """

    def blamed(self, job: Job) -> bool:
        """Whether bytes of the shortcut may have made a wrong file. It takes the blame once, and is
        not taken again for this job."""

    def completed(self, job: Job, path: str) -> None:
        """The file is complete and verified.

        :param path: of a stored file; empty if the install hook has it.
        """
