"""The language of the control socket."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON
from tests.unit.control.bench import SCHEMA, check
from upparat.control import protocol
from upparat.control.protocol import (
    ControlRequest,
    ErrorCode,
    InstallRequest,
    RequestKind,
    RequestRefused,
    encode,
    parse_request,
)
from upparat.snapshots import WaitKind

UNKNOWN = f"request: must be one of {', '.join(RequestKind)}"
STEP = "step: must be one of download, install, restart, or null"
OFFSET = "offset: must be a number of bytes"
SECONDS = "seconds: must be more than 0, or null"


class RequestTests(SynchronousTestCase):
    def test_each_goes_there_and_back(self) -> None:
        for request in (
            *(ControlRequest(kind) for kind in RequestKind if kind is not RequestKind.INSTALL),
            ControlRequest(RequestKind.LOG, "job-1", follow=True),
            ControlRequest(RequestKind.APPROVE, "job-1", step="install"),
            ControlRequest(RequestKind.DEFER, "job-1", seconds=7200.0),
            ControlRequest(RequestKind.PAUSE, seconds=0.5),
            ControlRequest(RequestKind.INSTALL, order=InstallRequest("/a", 0, {"version": "2.0"})),
        ):
            check(request.message(), "request")
            self.assertEqual(parse_request(encode(request.message())), request)

    def test_unknown_members_are_ignored(self) -> None:
        line = b'{"protocol":1,"request":"status","colour":"red"}'
        self.assertEqual(parse_request(line), ControlRequest(RequestKind.STATUS))

    def refused(self, line: bytes) -> tuple[ErrorCode, str]:
        refused = self.assertRaises(RequestRefused, parse_request, line)
        check(protocol.refusal(refused))
        return refused.code, str(refused)

    def test_another_version(self) -> None:
        for version in ("2", '"1"', "true", "null"):
            line = f'{{"protocol":{version},"request":"status"}}'.encode()
            message = "protocol: this agent speaks version 1 of the protocol"
            self.assertEqual(self.refused(line), (ErrorCode.PROTOCOL, message))

    def test_nonsense_names_the_member(self) -> None:
        for line, message in (
            (b"status", "the request is not JSON"),
            (b"\xff", "the request is not JSON"),
            (b"[" * 4000, "the request is not JSON"),
            (b"[]", "the request is not an object"),
            (b'{"protocol":1}', UNKNOWN),
            (
                b'{"protocol":1,"request":[]}',
                UNKNOWN,
            ),
            (b'{"protocol":1,"request":"log","job":1}', "job: must be a string or null"),
            (b'{"protocol":1,"request":"log","follow":1}', "follow: must be true or false"),
            (b'{"protocol":1,"request":"approve","step":"flash"}', STEP),
            (b'{"protocol":1,"request":"approve","step":["install"]}', STEP),
            (b'{"protocol":1,"request":"pause","seconds":0}', SECONDS),
            (b'{"protocol":1,"request":"pause","seconds":true}', SECONDS),
            (b'{"protocol":1,"request":"pause","seconds":"2h"}', SECONDS),
            (b'{"protocol":1,"request":"pause","seconds":NaN}', SECONDS),
            (b'{"protocol":1,"request":"defer","seconds":1e999}', SECONDS),
            (b'{"protocol":1,"request":"install"}', "path: must be a string"),
            (b'{"protocol":1,"request":"install","path":"/a"}', OFFSET),
            (b'{"protocol":1,"request":"install","path":"/a","offset":-1}', OFFSET),
            (b'{"protocol":1,"request":"install","path":"/a","offset":true}', OFFSET),
            (
                b'{"protocol":1,"request":"install","path":"/a","offset":0,"document":[]}',
                "document: must be an object",
            ),
        ):
            self.assertEqual(self.refused(line), (ErrorCode.BAD_REQUEST, message))

    @given(
        ANY_JSON | st.builds(lambda job: {"protocol": 1, "request": "log", "job": job}, ANY_JSON)
    )
    def test_anything(self, message: object) -> None:
        try:
            parse_request(json.dumps(message).encode())
        except RequestRefused:
            return


class MessageTests(SynchronousTestCase):
    def test_a_message_is_one_line_of_ascii(self) -> None:
        line = encode(protocol.log_line("a\nb\u2028\x85\ud800ä"))
        self.assertEqual(line.splitlines(), [line.rstrip(b"\n")])
        self.assertTrue(line.isascii())

    def test_each_fits_the_schema(self) -> None:
        for message in (
            protocol.checking(),
            protocol.log_line("x"),
            protocol.end(),
            protocol.decision("x"),
            protocol.accepted("local@1"),
        ):
            check(message)

    def test_the_schema_is_one(self) -> None:
        Draft202012Validator.check_schema(SCHEMA)

    def test_the_schema_knows_every_word_of_the_protocol(self) -> None:
        errors = SCHEMA["$defs"]["error"]["properties"]["error"]["enum"]
        self.assertEqual(errors, list(ErrorCode))
        waits = SCHEMA["$defs"]["wait"]["properties"]["for"]["enum"]
        self.assertEqual(waits, list(WaitKind))
