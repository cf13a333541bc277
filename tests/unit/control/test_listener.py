"""The socket file: made, replaced when its agent is dead, and removed."""

from __future__ import annotations

import errno
import grp
import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError
from twisted.logger import LogLevel, capturedLogs, formatEvent

from tests.unit.control.bench import ControlBench
from upparat.config.settings import ControlSettings
from upparat.control.listener import (
    BACKLOG,
    ControlFactory,
    ControlListener,
    InUse,
    remove_stale,
)
from upparat.control.server import ControlProtocol


class FakePort:
    """A port that the reactor listens on."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stopListening(self) -> Deferred[None]:
        stopped: Deferred[None] = Deferred()
        try:
            self.path.unlink()
        except OSError as error:
            stopped.errback(error)
        else:
            stopped.callback(None)
        return stopped


class FakeUnixReactor:
    """A reactor that makes files in place of sockets.

    :ivar problem: raised in place of listening.
    """

    def __init__(self) -> None:
        self.calls: list[tuple[Any, ...]] = []
        self.problem: Exception | None = None

    def listenUNIX(self, address: str, factory: object, backlog: int, mode: int) -> FakePort:
        if self.problem is not None:
            raise self.problem
        self.calls.append((address, backlog, mode))
        Path(address).touch()
        return FakePort(Path(address))


class ListenerTests(ControlBench):
    def setUp(self) -> None:
        super().setUp()
        directory = tempfile.TemporaryDirectory()  # its path is short enough for a socket
        self.addCleanup(directory.cleanup)
        self.path = Path(directory.name, "run", "upparat", "control.sock")
        self.reactor = FakeUnixReactor()

    def listener(self, **settings: Any) -> ControlListener:
        values = ControlSettings(**{"socket": self.path, **settings})
        return ControlListener(
            self.reactor,  # type: ignore[arg-type]
            values,
            lambda: ControlProtocol(self.desk),
        )

    def problem(self, listener: ControlListener) -> str:
        """The only line that a start logs, which is an error."""
        with capturedLogs() as logs:
            listener.start()
        [event] = logs
        self.assertIs(event["log_level"], LogLevel.error)
        return formatEvent(event)

    def bind(self, *, listening: bool) -> socket.socket:
        self.path.parent.mkdir(parents=True)
        server = socket.socket(socket.AF_UNIX)
        self.addCleanup(server.close)
        server.bind(str(self.path))
        if listening:
            server.listen(0)
        return server

    # --- start and stop ---

    def test_the_directory_is_open_to_others_whatever_the_umask_is(self) -> None:
        old = os.umask(0o077)
        self.addCleanup(os.umask, old)
        listener = self.listener(mode="0600")
        listener.start()
        self.assertEqual(self.reactor.calls, [(str(self.path), BACKLOG, 0o600)])
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o755)
        self.successResultOf(listener.stop())
        self.assertFalse(self.path.exists())

    def test_a_directory_that_is_there_stays_as_it_is(self) -> None:
        self.path.parent.mkdir(parents=True, mode=0o700)
        self.listener().start()
        self.assertEqual(self.path.parent.stat().st_mode & 0o777, 0o700)

    def test_off(self) -> None:
        listener = self.listener(socket=None)
        listener.start()
        self.successResultOf(listener.stop())
        self.assertEqual(self.reactor.calls, [])

    def test_a_file_that_somebody_has_removed(self) -> None:
        listener = self.listener()
        listener.start()
        self.path.unlink()
        self.successResultOf(listener.stop())

    # --- failures ---

    def test_a_directory_that_cannot_be_made(self) -> None:
        self.path.parent.parent.touch()
        found = self.problem(self.listener())
        self.assertEqual(found, f"The control socket is off: {self.path}: Not a directory")

    def test_a_reactor_that_cannot_listen(self) -> None:
        error = PermissionError(errno.EACCES, "Permission denied")
        for problem in (CannotListenError(None, str(self.path), error), error):
            self.reactor.problem = problem
            listener = self.listener()
            expected = f"The control socket is off: {self.path}: Permission denied"
            self.assertEqual(self.problem(listener), expected)
            self.successResultOf(listener.stop())

    def test_a_fault_does_not_reach_the_agent(self) -> None:
        self.reactor.problem = NotImplementedError()
        self.listener().start()
        self.assertEqual(len(self.flushLoggedErrors(NotImplementedError)), 1)

    def test_a_live_agent(self) -> None:
        self.bind(listening=True)
        expected = f"The control socket is off: {self.path}: another process listens there"
        self.assertEqual(self.problem(self.listener()), expected)

    # --- the group ---

    def test_the_group(self) -> None:
        name = grp.getgrgid(os.getegid()).gr_name
        self.listener(group=name).start()
        self.assertEqual(self.path.stat().st_gid, os.getegid())

    def test_a_group_that_is_gone(self) -> None:
        found = self.problem(self.listener(group="no-such-group"))
        self.assertIn("cannot be given to the group no-such-group", found)
        self.assertTrue(self.path.exists())

    # --- a file that is there already ---

    def test_a_dead_agent(self) -> None:
        self.bind(listening=True).close()
        remove_stale(self.path)
        self.assertFalse(self.path.exists())

    def test_a_socket_that_nobody_listens_on(self) -> None:
        self.bind(listening=False)
        remove_stale(self.path)
        self.assertFalse(self.path.exists())

    def test_an_agent_with_a_full_queue(self) -> None:
        self.bind(listening=True)
        clients = [socket.socket(socket.AF_UNIX) for _ in range(4)]
        for client in clients:
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(str(self.path))
        self.assertRaises(InUse, remove_stale, self.path)
        self.assertTrue(self.path.exists())

    def test_nothing(self) -> None:
        remove_stale(self.path)

    def test_a_file_that_is_no_socket(self) -> None:
        self.path.parent.mkdir(parents=True)
        self.path.write_text("precious")
        self.assertRaises(InUse, remove_stale, self.path)
        self.assertEqual(self.path.read_text(), "precious")


class FactoryTests(ControlBench):
    def test_a_protocol_for_each_client(self) -> None:
        factory = ControlFactory(lambda: ControlProtocol(self.desk))
        first, second = factory.buildProtocol(None), factory.buildProtocol(None)
        self.assertIsInstance(first, ControlProtocol)
        self.assertIsNot(first, second)

    def test_a_fault_is_logged_and_ends_the_client(self) -> None:
        def broken() -> ControlProtocol:
            raise ImportError("an update has replaced the files")

        self.assertIsNone(ControlFactory(broken).buildProtocol(None))
        self.assertEqual(len(self.flushLoggedErrors(ImportError)), 1)
