"""The control of one agent, as a service."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.ports import key
from tests.unit.control.bench import NOON, ControlBench, Peer
from upparat.config.settings import ControlSettings
from upparat.control.desk import MAX_CLIENTS
from upparat.control.history import History
from upparat.control.server import ControlProtocol
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
            self.agent.agent,
            self.check_now,
            self.directory,
            self.logs,
            lambda: NOON,
        )

    def peer_of(self, service: ControlService) -> Peer:
        protocol = service._make_client()
        assert isinstance(protocol, ControlProtocol)
        return Peer(protocol)

    def test_the_history_outlives_it(self) -> None:
        service = self.service()
        service.startService()
        service.job_ended(ENDED)
        self.successResultOf(service.stopService())
        again = self.service()
        again.startService()
        [status] = self.peer_of(again).asks("status")
        self.assertEqual([job["id"] for job in status["history"]], ["a"])

    def test_clients_share_a_desk_and_are_dropped_at_the_end(self) -> None:
        service = self.service()
        service.startService()
        peers = [self.peer_of(service) for _ in range(MAX_CLIENTS)]
        self.assertEqual(self.peer_of(service).heard()[0]["error"], "busy")
        self.successResultOf(service.stopService())
        self.assertTrue(all(peer.dropped for peer in peers))

    def test_a_fault_does_not_reach_the_machine(self) -> None:
        def broken(*_: object) -> None:
            raise RuntimeError("broken")

        self.patch(History, "add", broken)
        self.service().job_ended(ENDED)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_an_agent_that_nobody_asks_does_without_its_server(self) -> None:
        script = "import sys, upparat.control.service, upparat.control.agent; print(*sys.modules)"
        found = subprocess.run([sys.executable, "-c", script], capture_output=True, check=True)
        modules = {name for name in found.stdout.decode().split() if "upparat.control" in name}
        names = ("agent", "listener", "reactor", "service")
        self.assertEqual(modules - {"upparat.control"}, {f"upparat.control.{n}" for n in names})
