"""The language of the control socket: one JSON object a line, both ways.

``docs/control.schema.json`` describes every message. The agent and its clients share this module,
so it imports nothing of Twisted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

PROTOCOL = 1
"""The version of the protocol. It changes when an old client could misread a new message. New
members of an object do not change it."""

MAX_REQUEST = 65_536
"""The longest request, in bytes: an install brings a job document."""

Message = Mapping[str, Any]


class RequestKind(StrEnum):
    """What a client may ask for."""

    STATUS = "status"
    FOLLOW = "follow"
    CHECK_NOW = "check_now"
    HISTORY = "history"
    LOG = "log"
    APPROVE = "approve"
    DEFER = "defer"
    PAUSE = "pause"
    RESUME = "resume"
    INSTALL = "install"


_OF_A_JOB = (RequestKind.LOG, RequestKind.APPROVE, RequestKind.DEFER)
_WITH_A_TIME = (RequestKind.DEFER, RequestKind.PAUSE)

STEPS = ("download", "install", "restart")
"""The steps that may be approved."""


class ErrorCode(StrEnum):
    """Why a request is refused."""

    BAD_REQUEST = "bad_request"
    PROTOCOL = "protocol"
    BUSY = "busy"
    NOT_CONNECTED = "not_connected"
    UNKNOWN_JOB = "unknown_job"
    NO_LOGS = "no_logs"
    NOT_ALLOWED = "not_allowed"
    NOT_IN_HAND = "not_in_hand"
    FAILED = "failed"


class RequestRefused(Exception):
    """A request that is refused; the message is one line for the client."""

    def __init__(self, code: ErrorCode, message: str) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class InstallRequest:
    """An install by hand.

    :ivar path: of a file on the device, absolute.
    :ivar offset: of the update's first byte in the file.
    :ivar document: of the job, without ``file``.
    """

    path: str
    offset: int
    document: dict[str, Any] = field(repr=False)


@dataclass(frozen=True)
class ControlRequest:
    """A request.

    :ivar job: for ``log``: the id of the job, or none for the last one; for ``approve`` and
        ``defer``: that of the job in hand, or none for whichever that is.
    :ivar follow: for ``log``: whether the lines that come later are wanted as well.
    :ivar step: for ``approve``: one of :data:`STEPS`, or none for the one that waits.
    :ivar seconds: for ``defer`` and ``pause``: how long.
    :ivar order: for ``install``: what is to be installed.
    """

    kind: RequestKind
    job: str | None = None
    follow: bool = False
    step: str | None = None
    seconds: float | None = None
    order: InstallRequest | None = None

    def message(self) -> Message:
        """Return the request as it is sent."""
        message: dict[str, Any] = {"protocol": PROTOCOL, "request": self.kind.value}
        if self.kind in _OF_A_JOB:
            message["job"] = self.job
        if self.kind is RequestKind.LOG:
            message["follow"] = self.follow
        if self.kind is RequestKind.APPROVE:
            message["step"] = self.step
        if self.kind in _WITH_A_TIME:
            message["seconds"] = self.seconds
        if self.order is not None:
            message.update(asdict(self.order))
        return message


def encode(message: Message) -> bytes:
    """Return a message as a line, with its line end."""
    return json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def parse_request(line: bytes) -> ControlRequest:
    """Read a request. Unknown members are ignored.

    :raises RequestRefused: if it makes no sense, or is of another version of the protocol.
    """
    message = _object(line)
    if message.get("protocol") != PROTOCOL or isinstance(message["protocol"], bool):
        raise RequestRefused(
            ErrorCode.PROTOCOL, f"protocol: this agent speaks version {PROTOCOL} of the protocol"
        )
    try:
        kind = RequestKind(message.get("request", ""))
    except ValueError:
        known = ", ".join(RequestKind)
        raise RequestRefused(ErrorCode.BAD_REQUEST, f"request: must be one of {known}") from None
    order = _order(message) if kind is RequestKind.INSTALL else None
    return ControlRequest(
        kind, _job(message), _follow(message), _step(message), _seconds(message), order
    )


def _object(line: bytes) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "the request is not JSON") from None
    if not isinstance(message, dict):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "the request is not an object")
    return message


def _job(message: Message) -> str | None:
    job = message.get("job")
    if job is not None and not isinstance(job, str):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "job: must be a string or null")
    return job


def _follow(message: Message) -> bool:
    follow = message.get("follow", False)
    if not isinstance(follow, bool):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "follow: must be true or false")
    return follow


def _step(message: Message) -> str | None:
    step = message.get("step")
    if step is not None and step not in STEPS:
        problem = f"step: must be one of {', '.join(STEPS)}, or null"
        raise RequestRefused(ErrorCode.BAD_REQUEST, problem)
    return step


def _seconds(message: Message) -> float | None:
    seconds = message.get("seconds")
    if seconds is None:
        return None
    if type(seconds) not in (int, float) or not 0 < seconds < 1e9:
        raise RequestRefused(ErrorCode.BAD_REQUEST, "seconds: must be more than 0, or null")
    return float(seconds)


def _order(message: Message) -> InstallRequest:
    path, offset, document = (message.get(each) for each in ("path", "offset", "document"))
    if not isinstance(path, str):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "path: must be a string")
    if type(offset) is not int or not 0 <= offset < 1 << 53:
        raise RequestRefused(ErrorCode.BAD_REQUEST, "offset: must be a number of bytes")
    if not isinstance(document, dict):
        raise RequestRefused(ErrorCode.BAD_REQUEST, "document: must be an object")
    return InstallRequest(path, offset, document)


# --- messages of the agent ------------------------------------------------------------------------


def checking() -> Message:
    """The agent asks AWS for the jobs."""
    return {"protocol": PROTOCOL, "type": "check_now"}


def decision(text: str) -> Message:
    """The agent has taken a decision: one line on what holds now."""
    return {"protocol": PROTOCOL, "type": "decision", "text": text}


def accepted(job_id: str) -> Message:
    """The agent has taken an order: the id of its job."""
    return {"protocol": PROTOCOL, "type": "install", "job": job_id}


def log_line(line: str) -> Message:
    """One line of a job's log."""
    return {"protocol": PROTOCOL, "type": "log", "line": line}


def end() -> Message:
    """The answer is complete."""
    return {"protocol": PROTOCOL, "type": "end"}


def refusal(refused: RequestRefused) -> Message:
    """The answer to a request that is refused."""
    return {
        "protocol": PROTOCOL,
        "type": "error",
        "error": refused.code.value,
        "message": str(refused),
    }
