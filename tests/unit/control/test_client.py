"""The client that blocks, with an agent of another thread."""

from __future__ import annotations

import json
import os
import socket

from twisted.trial.unittest import SynchronousTestCase

from tests.support.answering import Answering
from upparat.control import client as module
from upparat.control.client import AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind

STATUS = ControlRequest(RequestKind.STATUS)


class ClientTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.answering = Answering()
        self.addCleanup(self.answering.close)
        self.path = self.answering.path
        self.serve = self.answering.serve

    def ask(self) -> list[object]:
        with ControlConnection(self.path, STATUS) as connection:
            return list(connection.messages())

    def failure(self) -> tuple[int, str]:
        failed = self.assertRaises(AskingFailed, self.ask)
        return failed.status, str(failed).replace(str(self.path), "PATH")

    def test_an_answer_in_pieces(self) -> None:
        line = {"protocol": 1, "type": "log", "line": "ä" * 100_000}
        text = json.dumps(line).encode() + b"\n"
        end = b'{"protocol":1,"type":"end"}\n'
        self.serve(text[:10], text[10:50_000], text[50_000:] + end[:5], end[5:])
        self.assertEqual(self.ask(), [line])
        self.assertEqual(json.loads(self.answering.asked[0]), STATUS.message())

    def test_no_agent(self) -> None:
        self.assertEqual(self.failure(), (69, "no agent at PATH: No such file or directory"))
        with socket.socket(socket.AF_UNIX) as dead:
            dead.bind(str(self.path))
        self.assertEqual(self.failure(), (69, "no agent at PATH: Connection refused"))

    def test_a_path_that_is_too_long(self) -> None:
        self.path = self.path.with_name("x" * 200)
        self.assertEqual(self.failure(), (69, "no agent at PATH: AF_UNIX path too long"))

    def test_another_version(self) -> None:
        self.serve(b'{"protocol":2,"type":"error","error":"protocol","message":"2"}\n')
        problem = "PATH: the agent speaks version 2 of the protocol, not 1"
        self.assertEqual(self.failure(), (76, problem))

    def test_a_refusal(self) -> None:
        for code, status in (("protocol", 76), ("busy", 75), ("unknown_job", 1), ("new", 1)):
            error = {"protocol": 1, "type": "error", "error": code, "message": "no"}
            self.serve(json.dumps(error).encode() + b"\n")
            self.assertEqual(self.failure(), (status, "no"))

    def test_nonsense(self) -> None:
        for text in (b"220 mail\n", b"[]\n", b'{"protocol":1}\n'):
            self.serve(text)
            self.assertEqual(self.failure(), (76, "PATH: no agent speaks like that"))

    def test_a_line_without_an_end(self) -> None:
        self.patch(module, "MAX_MESSAGE", 1000)
        self.serve(b"x" * 1001, hold=True)
        self.assertEqual(self.failure(), (76, "PATH: no agent speaks like that"))

    def test_an_agent_that_dies(self) -> None:
        self.serve(b'{"protocol":1,"ty')
        self.assertEqual(self.failure(), (69, "PATH: the agent has closed the connection"))

    def test_an_agent_that_hangs(self) -> None:
        self.patch(module, "ANSWER_TIMEOUT", 0.01)
        self.serve(hold=True)
        with ControlConnection(self.path, STATUS) as connection:
            self.assertRaises(TimeoutError, connection.message, 0.01)
            self.assertRaises(TimeoutError, connection.message, 0.01)

    def test_another_user(self) -> None:
        def refuse(*_: object) -> None:
            raise PermissionError(13, "Permission denied")

        self.patch(socket.socket, "connect", refuse)
        self.assertEqual(self.failure(), (77, "PATH: this user may not ask the agent"))

    def test_a_full_queue(self) -> None:
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(str(self.path))
            server.listen(0)
            first = socket.socket(socket.AF_UNIX)
            self.addCleanup(first.close)
            first.connect(str(self.path))
            self.patch(module, "ANSWER_TIMEOUT", 0.05)
            self.assertEqual(self.failure(), (75, "PATH: the agent is busy"))

    def test_descriptors_are_closed(self) -> None:
        before = len(os.listdir("/proc/self/fd"))
        self.failure()
        self.assertEqual(len(os.listdir("/proc/self/fd")), before)
