"""The bench of the doctor's steps: examinations with short waits, and scratch directories."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from upparat.config.settings import BrokerSettings, DownloadSettings, Settings
from upparat.doctor.examination import Examination, Limits
from upparat.doctor.finding import Finding

NOW = datetime(2027, 1, 1, 12, 30, tzinfo=UTC)

QUICK = Limits(total=60.0, connect=10.0, answer=10.0, jobs=10.0, watch=0.05, pause=0.0)
"""Long enough for a busy machine where an answer comes, and short where none can come."""


def examination(**members: Any) -> Examination:
    """An examination on the first day of 2027.

    :param members: those of :class:`Examination`, and ``broker`` or ``download`` of the settings.
    """
    settings = Settings(
        broker=members.pop("broker", BrokerSettings(thing_name="thing")),
        download=members.pop("download", DownloadSettings()),
    )
    return Examination(**{"settings": settings, "limits": QUICK, "now": lambda: NOW, **members})


def levels(findings: Iterable[Finding]) -> list[tuple[str, str]]:
    return [(finding.name, finding.level.value) for finding in findings]


class DoctorBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def script(self, content: bytes, name: str = "hook", mode: int = 0o755) -> Path:
        path = self.directory / name
        path.write_bytes(content)
        path.chmod(mode)
        return path

    def says(self, finding: Finding, level: str, *words: str) -> None:
        """The finding has this level and holds these words; a remedy goes with each problem."""
        self.assertEqual(finding.level, level, finding)
        for word in words:
            self.assertIn(word, str(finding))
        self.assertEqual(bool(finding.remedy), level in ("warning", "failed"), finding)
