"""What systemd hears, on a real datagram socket."""

from __future__ import annotations

import os
import socket
import time
from pathlib import Path

from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.support.waiting import PATIENCE
from upparat import systemd as module
from upparat.disk import disk_work
from upparat.systemd import RESEND_INTERVAL, STATUS_INTERVAL, ServiceManager


class SystemdTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.healthy = True
        self.status = "monitor"
        path = Path(self.mktemp())
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = os.path.relpath(path)  # a socket's name is short
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(self.path)
        self.socket.setblocking(False)

    def make(self, **more: str) -> ServiceManager:
        self.environ = {"NOTIFY_SOCKET": self.path, "HOME": "/", **more}
        manager = ServiceManager(
            self.clock, lambda: self.healthy, lambda: self.status, self.environ
        )
        self.addCleanup(manager.close)
        return manager

    def heard(self) -> list[str]:
        heard = []
        while True:
            try:
                heard.append(self.socket.recv(4096).decode())
            except BlockingIOError:
                return heard

    def test_ready(self) -> None:
        self.make().ready()
        self.assertEqual(self.heard(), ["READY=1", "STATUS=monitor"])

    def test_status(self) -> None:
        manager = self.make()
        manager.ready()
        self.heard()
        manager.refresh()
        self.assertEqual(self.heard(), [])
        self.status = "job: install\nforged=1"
        manager.refresh()
        self.assertEqual(self.heard(), ["STATUS=job: install forged=1"])

    def test_the_status_is_looked_at_now_and_then(self) -> None:
        self.make().ready()
        self.heard()
        self.status = "no connection"
        self.clock.advance(STATUS_INTERVAL)
        self.assertEqual(self.heard(), ["STATUS=no connection"])

    def test_watchdog(self) -> None:
        self.make(WATCHDOG_USEC="10000000", WATCHDOG_PID=str(os.getpid())).ready()
        self.assertEqual(self.heard(), ["READY=1", "STATUS=monitor", "WATCHDOG=1"])
        self.clock.advance(5)
        self.assertEqual(self.heard(), ["WATCHDOG=1"])

    def test_no_ping_from_a_broken_agent(self) -> None:
        self.make(WATCHDOG_USEC="10000000").ready()
        self.heard()
        self.healthy = False
        self.clock.pump([5, 5, 5])
        self.assertEqual(self.heard(), [])

    def until_heard(self, message: str) -> None:
        self.socket.settimeout(PATIENCE)
        while self.socket.recv(4096).decode() != message:
            pass

    def test_pings_while_the_reactor_waits_for_the_disk(self) -> None:
        manager = self.make(WATCHDOG_USEC="20000")
        manager.ready()
        self.heard()
        with disk_work():
            self.until_heard("WATCHDOG=1")
            self.until_heard("WATCHDOG=1")

    def threads_pings(self, since: float | None) -> int:
        """The pings of the thread in three rounds, of which the last one closes."""
        self.patch(module, "waiting_since", lambda: since)
        manager = self.make(WATCHDOG_USEC="10000000")
        rounds = iter([False, False, True])
        self.patch(manager._closed, "wait", lambda _: next(rounds))
        manager._watch_disk()
        return len(self.heard())

    def test_no_ping_while_nobody_waits_for_the_disk(self) -> None:
        self.assertEqual(self.threads_pings(None), 0)
        self.assertEqual(self.threads_pings(time.monotonic()), 2)

    def test_a_dead_disk(self) -> None:
        self.assertEqual(self.threads_pings(time.monotonic() - module.LONGEST_WAIT), 0)

    def test_a_broken_agent_at_the_disk(self) -> None:
        self.healthy = False
        self.assertEqual(self.threads_pings(time.monotonic()), 0)

    def test_the_watchdog_of_another_process(self) -> None:
        self.make(WATCHDOG_USEC="10000000", WATCHDOG_PID="1").ready()
        self.assertNotIn("WATCHDOG=1", self.heard())

    def test_stopping(self) -> None:
        manager = self.make()
        manager.ready()
        self.heard()
        manager.stopping()
        self.assertEqual(self.heard(), ["STOPPING=1"])
        manager.close()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_hooks_do_not_inherit_it(self) -> None:
        self.make(WATCHDOG_USEC="1", WATCHDOG_PID="1")
        self.assertEqual(self.environ, {"HOME": "/"})

    def test_abstract_socket(self) -> None:
        name = f"upparat-test-{os.getpid()}"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
            abstract.bind("\0" + name)
            self.make(NOTIFY_SOCKET="@" + name).ready()
            self.assertEqual(abstract.recv(100), b"READY=1")

    def test_without_systemd(self) -> None:
        manager = ServiceManager(self.clock, lambda: True, lambda: "", {})
        manager.ready()
        manager.refresh()
        manager.stopping()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_nobody_listens(self) -> None:
        manager = self.make(NOTIFY_SOCKET=self.path + "-none")
        with capturedLogs() as logs:
            manager.ready()
            self.clock.advance(RESEND_INTERVAL)
        self.assertIn("systemd cannot be told", str(logs[0]["log_format"]))
        self.assertEqual(len(logs), 2)  # of READY and of STATUS, once

    def test_nobody_reads(self) -> None:
        manager = self.make()
        for number in range(2000):
            self.status = str(number)
            manager.refresh()
        self.assertLess(len(self.heard()), 2000)
        manager.refresh()
        self.assertEqual(self.heard(), ["STATUS=1999"])

    def test_readiness_is_said_again(self) -> None:
        """Without it systemd would take the start for failed."""
        manager = self.make()
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as others:
            others.setblocking(False)
            with self.assertRaises(BlockingIOError):
                while True:
                    others.sendto(b"X=1", self.path)
        manager.ready()
        self.assertNotIn("READY=1", self.heard())
        self.clock.advance(RESEND_INTERVAL)
        self.assertEqual(self.heard(), ["READY=1", "STATUS=monitor"])
        self.clock.advance(RESEND_INTERVAL)
        self.assertEqual(self.heard(), [])
