"""Runs an install hook that fetches the file itself, from a URL that is lent to each run."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from upparat.streaming import UrlLender

from .call import Call
from .child import ExitStatus
from .outcome import Failed, Outcome, Withdrawn
from .run import HookRun


class LentRun(HookRun):
    """Gives each run of the hook a URL of its own, and takes it back when the run ends.

    A hook that is called off loses its URL at once. It is not killed, because nobody knows how far
    it is: what it has fetched may be in use already.
    """

    def __init__(self, lender: UrlLender, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._lender = lender
        self._report: Callable[[], None] | None = None

    def finish(self, *, kill: bool) -> None:
        self._lender.take_back()
        super().finish(kill=kill)

    # --- one attempt ---

    def _unfit_file(self) -> str:
        """Nothing is stored that could have been changed."""
        return ""

    def _spawn(self, call: Call) -> None:
        try:
            super()._spawn(replace(call, url=self._lender.lend(self.job)))
        except OSError:
            self._lender.take_back()
            raise

    def _child_exited(self, status: ExitStatus) -> None:
        self._report = self._lender.take_back()
        super()._child_exited(status)

    # --- its end ---

    def _over(self, outcome: Outcome) -> None:
        """Blame the download for a hook that has failed without its file."""
        report = self._report
        if report is None or self._final or not isinstance(outcome, Failed):
            super()._over(outcome)
            return
        self.log.info(
            "{job_id}: install hook: {reason}", job_id=self.job.job_id, reason=outcome.reason
        )
        self._attempts.over(self.job.key, self.hook)
        self._on_outcome(Withdrawn())
        report()
