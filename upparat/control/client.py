"""A client of the control socket that blocks: for command lines. It imports nothing of Twisted."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from .protocol import PROTOCOL, ControlRequest, ErrorCode, encode

EX_TEMPFAIL = 75
EX_UNAVAILABLE = 69
EX_PROTOCOL = 76
EX_NOPERM = 77
"""Exit statuses of sysexits(3)."""

ANSWER_TIMEOUT = 10.0
"""Seconds for the agent to answer."""

MAX_MESSAGE = 1 << 20
"""The longest message, in bytes."""

_STATUSES: Mapping[str, int] = {
    ErrorCode.PROTOCOL: EX_PROTOCOL,
    ErrorCode.BUSY: EX_TEMPFAIL,
    ErrorCode.NOT_ALLOWED: EX_NOPERM,
}


class AskingFailed(Exception):
    """The agent gives no answer.

    :ivar status: the exit status for it.
    """

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NoAgent(AskingFailed):
    """Nobody listens on the control socket."""

    def __init__(self, message: str) -> None:
        super().__init__(message, EX_UNAVAILABLE)


def exit_status(code: str) -> int:
    """Return the exit status for an error of the protocol."""
    return _STATUSES.get(code, 1)


class ControlConnection:
    """One request to the agent, and its messages.

    :param path: of the control socket.
    :raises AskingFailed: if no agent listens there, or it does not let this user ask.
    """

    def __init__(self, path: Path, request: ControlRequest) -> None:
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._rest = b""
        try:
            self._socket.settimeout(ANSWER_TIMEOUT)
            self._socket.connect(str(path))
            self._socket.sendall(encode(request.message()))
        except PermissionError:
            self._socket.close()
            raise AskingFailed(f"{path}: this user may not ask the agent", EX_NOPERM) from None
        except BlockingIOError:
            self._socket.close()
            raise AskingFailed(f"{path}: the agent is busy", EX_TEMPFAIL) from None
        except (FileNotFoundError, ConnectionRefusedError) as error:
            self._socket.close()
            raise NoAgent(f"no agent at {path}: {error.strerror}") from None
        except OSError as error:
            self._socket.close()
            reason = error.strerror or str(error)
            raise AskingFailed(f"no agent at {path}: {reason}", EX_UNAVAILABLE) from None

    def message(self, timeout: float = ANSWER_TIMEOUT) -> dict[str, Any]:
        """Return the next message.

        :param timeout: seconds to wait for it.
        :raises TimeoutError: if none comes.
        :raises AskingFailed: if the agent refuses the request, or has closed the connection.
        """
        self._socket.settimeout(timeout)
        while b"\n" not in self._rest:
            self._rest += self._received()
            if len(self._rest) > MAX_MESSAGE:
                raise self._nonsense()
        line, _, self._rest = self._rest.partition(b"\n")
        return self._read(line)

    def messages(self) -> Iterator[dict[str, Any]]:
        """Return the messages of an answer that has an end.

        :raises AskingFailed: as :meth:`message` does, or if the agent takes too long.
        """
        while True:
            try:
                message = self.message()
            except TimeoutError:
                raise self._lost("does not answer") from None
            if message["type"] == "end":
                return
            yield message

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def _received(self) -> bytes:
        try:
            data = self._socket.recv(65536)
        except TimeoutError:
            raise
        except OSError:
            data = b""
        if not data:
            raise self._lost("has closed the connection")
        return data

    def _read(self, line: bytes) -> dict[str, Any]:
        try:
            message = json.loads(line)
        except ValueError:
            raise self._nonsense() from None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise self._nonsense()
        if message.get("protocol") != PROTOCOL:
            spoken = message.get("protocol")
            problem = f"the agent speaks version {spoken} of the protocol, not {PROTOCOL}"
            raise AskingFailed(f"{self._path}: {problem}", EX_PROTOCOL)
        if message["type"] == "error":
            status = exit_status(message.get("error", ""))
            raise AskingFailed(str(message.get("message")), status)
        return message

    def _lost(self, what: str) -> AskingFailed:
        return AskingFailed(f"{self._path}: the agent {what}", EX_UNAVAILABLE)

    def _nonsense(self) -> AskingFailed:
        return AskingFailed(f"{self._path}: no agent speaks like that", EX_PROTOCOL)
