"""The delta as a shortcut of downloads: when it is taken, and when it is given up."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import CancelledError
from twisted.logger import Logger

from upparat.config.settings import DeltaSettings
from upparat.disk import disk_work
from upparat.download.attempt import Outcome
from upparat.download.partial import CannotRestart, DiskError, FileMismatch
from upparat.download.response import Complete, Permanent, Temporary, UrlExpired
from upparat.download.shortcut import Journey, Shortcut
from upparat.download.url import url_flaw
from upparat.job import ExecutionKey, InvalidDocument, Job, delta_url

from .assemble import Assembly
from .header import DeltaError
from .lines import LineFactory, NotFetched
from .run import DeltaRun
from .tables import ChunkTables
from .unpack import load_zstd

KEPT = "kept.artifact"
"""The name of the last file, in the download directory. No job can have it, because of the dot."""


class DeltaShortcut:
    """Puts files together of chunks. Whatever goes wrong, the download goes on by itself.

    :param directory: of the tables.
    :param downloads: the download directory, where the last file is kept.
    :param connect: makes a line to the server.
    :param identifies: whether a digest or a signature identifies the file of a job.
    :param patience: attempts in a row without a byte, after which the delta is given up.
    """

    log = Logger()

    def __init__(
        self,
        settings: DeltaSettings,
        directory: Path,
        downloads: Path,
        connect: LineFactory,
        *,
        identifies: Callable[[Job], bool],
        patience: int,
        load: Callable[[], None] = load_zstd,
    ) -> None:
        self._settings = settings
        self._tables = ChunkTables(directory)
        self._kept = downloads / KEPT
        self._connect = connect
        self._identifies = identifies
        self._patience = patience
        self._load = load
        self._run: DeltaRun | None = None
        self._given_up: ExecutionKey | None = None
        self._used: ExecutionKey | None = None
        self._reused = 0

    @property
    def reused(self) -> int:
        assembly = self._run.assembly if self._run is not None else None
        return assembly.reused if assembly is not None else self._reused

    async def attempt(self, journey: Journey) -> Outcome | None:
        key = journey.job.key
        self._reused = 0
        if self._run is not None and self._run.key != key:
            self._run = None
        url = "" if self._given_up == key else self._url(journey.job)
        if not url:
            return None
        try:
            await self._try(journey, url)
            return Complete()
        except (CancelledError, DiskError, CannotRestart):
            raise
        except NotFetched as missed:
            return self._missed(journey, missed.outcome)
        except (DeltaError, FileMismatch) as problem:
            self._give_up(journey.job, str(problem))
        except Exception as problem:
            self.log.failure("{job_id}: delta", job_id=key.job_id)
            self._give_up(journey.job, type(problem).__name__)
        return None

    def blamed(self, job: Job) -> bool:
        used, self._used = self._used, None
        if used != job.key:
            return False
        self._run = None
        self._give_up(job, "it made another file than the job's")
        return True

    def completed(self, job: Job, path: str) -> None:
        run, self._run, self._used = self._run, None, None
        if run is None or run.key != job.key or run.assembly is None:
            return
        self._reused = run.assembly.reused  # the last progress tells it
        if run.finished:
            self._tell(job, run.assembly)
        # A table is a hint: it is worth keeping even if all bytes came from the URL of the file.
        try:
            with disk_work():
                self._tables.add(run.assembly.table)
                self._keep(path)
        except OSError as error:
            problem = error.strerror or str(error)
            text = "{job_id}: nothing is kept for the next delta: {problem}"
            self.log.warn(text, job_id=job.job_id, problem=problem)

    def _tell(self, job: Job, assembly: Assembly) -> None:
        self.log.info(
            "{job_id}: the delta took {reused} of {size} bytes from seeds, and fetched {fetched}",
            job_id=job.job_id,
            reused=assembly.reused,
            size=assembly.header.size,
            fetched=assembly.fetched + assembly.header.length,
        )

    # --- one attempt ---

    async def _try(self, journey: Journey, url: str) -> None:
        if self._run is None:
            await self._load_zstd(journey)
            tables = await journey.work.run(self._tables.load)
            self._run = DeltaRun(journey.job.key, self._connect, self._seeds, tables)
        self._used = journey.job.key
        await self._run.attempt(journey, url)

    async def _load_zstd(self, journey: Journey) -> None:
        """:raises DeltaError: without the library."""
        try:
            await journey.work.run(self._load)
        except ImportError:
            raise DeltaError("the Python package zstandard is missing") from None

    @property
    def _seeds(self) -> Sequence[Path]:
        kept = [self._kept] if self._settings.keep else []
        return [*self._settings.seeds, *kept]

    def _url(self, job: Job) -> str:
        """The URL of the delta; empty if it is not to be used."""
        try:
            url = delta_url(job.execution)
        except InvalidDocument as invalid:
            self._give_up(job, str(invalid))
            return ""
        if not url:
            return ""
        problem = url_flaw(url)
        if not problem and not self._identifies(job):
            problem = "the job document has no sha256, sha512 or signature to verify the file by"
        if problem:
            self._give_up(job, f"delta: {problem}")
            return ""
        return url

    # --- trouble ---

    def _missed(
        self, journey: Journey, outcome: Temporary | UrlExpired | Permanent
    ) -> Outcome | None:
        """Decide whether the delta has another chance."""
        run, budget = self._run, journey.budget
        if isinstance(outcome, Temporary) and budget.attempts + 1 < self._patience:
            return outcome
        if isinstance(outcome, UrlExpired) and run and run.refused_at != journey.partial.length:
            run.refused_at = journey.partial.length
            return outcome
        budget.attempts = budget.refusals = 0  # the file has all of its own
        self._give_up(journey.job, outcome.reason)
        return None

    def _give_up(self, job: Job, problem: str) -> None:
        self._given_up = job.key
        self.log.warn(
            "{job_id}: the delta is not used: {problem}", job_id=job.job_id, problem=problem
        )

    def _keep(self, path: str) -> None:
        """Give the file a second name, under which it outlives its job."""
        if not path or not self._settings.keep:
            return
        new = self._kept.with_suffix(".new")
        with suppress(FileNotFoundError):
            new.unlink()
        os.link(path, new)
        new.replace(self._kept)


_shortcut: type[Shortcut] = DeltaShortcut
