"""What HTTP statuses mean for an upload."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.joblog.outcome import UploadOutcome, interpret_status


class StatusTests(SynchronousTestCase):
    def test_statuses(self) -> None:
        for outcome, statuses in {
            UploadOutcome.DONE: (200, 201, 204),
            UploadOutcome.LATER: (408, 429, 500, 503, 599),
            UploadOutcome.REFUSED: (301, 307, 400, 403, 404, 411, 413),
        }.items():
            for status in statuses:
                self.assertIs(interpret_status(status), outcome, status)
