"""The control of one agent, as a service."""

from __future__ import annotations

from pathlib import Path

from tests.support.ports import key
from tests.unit.control.bench import NOON, ControlBench
from upparat.config.settings import ControlSettings
from upparat.control.history import History
from upparat.control.service import ControlService
from upparat.snapshots import EndedJob

ENDED = EndedJob(key("a"), "2.0", "SUCCEEDED", "complete_ready", "none")


class ServiceTests(ControlBench):
    def setUp(self) -> None:
        super().setUp()
        self.directory = Path(self.mktemp()).absolute()

    def service(self) -> ControlService:
        return ControlService(
            self.clock,  # type: ignore[arg-type]
            ControlSettings(socket=None),
            self.agent.agent(),
            self.check_now,
            self.directory,
            self.logs,
            lambda: NOON,
        )

    def test_the_history_outlives_it(self) -> None:
        service = self.service()
        service.startService()
        service.job_ended(ENDED)
        self.successResultOf(service.stopService())
        again = self.service()
        again.startService()
        status = again._factory.desk.status()
        self.assertEqual([job["id"] for job in status["history"]], ["a"])

    def test_a_fault_does_not_reach_the_machine(self) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("broken")

        self.patch(History, "add", broken)
        self.service().job_ended(ENDED)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
