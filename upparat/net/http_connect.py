"""The way through a proxy: CONNECT and its answer, as bytes.

RFC 9110, section 9.3.6: once the head of a 2xx answer is over, the connection is the server's.
"""

from __future__ import annotations

import re
from http import HTTPStatus

from upparat import __version__

from .proxy import Proxy

HEAD_LIMIT = 8192
"""The most bytes of answers that are read; those of proxies are far smaller."""

_START = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?")
_END = re.compile(rb"\r?\n\r?\n")


class ProxyError(Exception):
    """The proxy does not open the way; the message says why and holds no secret."""


def connect_request(proxy: Proxy, host: str, port: int) -> bytes:
    """What asks ``proxy`` for the way to ``host``, a name or an address without brackets.

    :raises ProxyError: if nobody can be asked for such a host.
    """
    authority = f"{_spelt(host)}:{port}"
    lines = [
        f"CONNECT {authority} HTTP/1.1",
        f"Host: {authority}",
        f"User-Agent: upparat/{__version__}",
        *([f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")


def _spelt(host: str) -> str:
    """As the authority of a URL has it."""
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[\x21-\x7e]+", name):
        raise ProxyError("the proxy cannot be asked for this host")
    return f"[{name}]" if ":" in name else name


class ConnectAnswer:
    """Takes what a proxy answers to CONNECT, however it is cut into pieces."""

    def __init__(self) -> None:
        self._data = b""
        self._taken = 0

    def feed(self, data: bytes) -> bool:
        """Whether the way is open; otherwise more has to come.

        :raises ProxyError: if it will never be open. Nothing may be fed after that.
        """
        seen = max(len(self._data) - 3, 0)
        self._data += data
        self._taken += len(data)
        while end := _END.search(self._data, seen):
            head, self._data, seen = self._data[: end.start()], self._data[end.end() :], 0
            if self._opens(head):
                return True
        if self._data[: len(_START)] != _START[: len(self._data)]:
            raise ProxyError("the proxy's answer is not HTTP")
        if self._taken > HEAD_LIMIT:
            raise ProxyError(f"the proxy's answer has no end within {HEAD_LIMIT} bytes")
        return False

    def _opens(self, head: bytes) -> bool:
        match = _STATUS.fullmatch(head.partition(b"\n")[0].removesuffix(b"\r"))
        if match is None:
            raise ProxyError("the proxy's answer is not HTTP")
        status = int(match[1])
        if status == 101 or status >= 300:
            raise ProxyError(f"the proxy answers {_named(status)}")
        # A client speaks first, in TLS and in MQTT: this would not come from the server.
        if status >= 200 and self._data:
            raise ProxyError("the proxy sends more than its answer")
        return status >= 200


def _named(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
