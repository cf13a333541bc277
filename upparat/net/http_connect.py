"""The HTTP method CONNECT, as bytes: the request to a proxy, and its response.

After the head of a 2xx response, the connection leads to the server (RFC 9110, section 9.3.6).
"""

from __future__ import annotations

import re
from http import HTTPStatus

from upparat import __version__

from .proxy import Proxy

HEAD_LIMIT = 8192
"""Most bytes of responses that are read; those of real proxies are far smaller."""

_START = b"HTTP/1."
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-5]\d\d)(?: [^\r\n]*)?")
_END = re.compile(rb"\r?\n\r?\n")


class ProxyError(Exception):
    """The proxy does not connect to the server; the message says why and holds no secret."""


def connect_request(proxy: Proxy, host: str, port: int) -> bytes:
    """The request that asks ``proxy`` to connect to a server.

    :param host: a name, or an address without brackets.
    :raises ProxyError: if ``host`` cannot be written in a request.
    """
    authority = f"{_encoded(host)}:{port}"
    lines = [
        f"CONNECT {authority} HTTP/1.1",
        f"Host: {authority}",
        f"User-Agent: upparat/{__version__}",
        *([f"Proxy-Authorization: {proxy.authorization}"] if proxy.authorization else []),
    ]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("ascii")


def _encoded(host: str) -> str:
    """The host as it stands in the authority of a URL."""
    try:
        name = host if host.isascii() else host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[\x21-\x7e]+", name):
        raise ProxyError("the proxy cannot be asked for this host")
    return f"[{name}]" if ":" in name else name


class ConnectResponse:
    """Parses the proxy's response to CONNECT, which may come in pieces of any size."""

    def __init__(self) -> None:
        self._data = b""
        self._taken = 0

    def feed(self, data: bytes) -> bool:
        """Take the next piece.

        :returns: ``True`` once the connection leads to the server; ``False`` if more has to come.
        :raises ProxyError: if the proxy refuses, or the response is not valid. Feed nothing then.
        """
        seen = max(len(self._data) - 3, 0)
        self._data += data
        self._taken += len(data)
        while end := _END.search(self._data, seen):
            head, self._data, seen = self._data[: end.start()], self._data[end.end() :], 0
            if self._is_success(head):
                return True
        if self._data[: len(_START)] != _START[: len(self._data)]:
            raise ProxyError("the proxy's answer is not HTTP")
        if self._taken > HEAD_LIMIT:
            raise ProxyError(f"the proxy's answer has no end within {HEAD_LIMIT} bytes")
        return False

    def _is_success(self, head: bytes) -> bool:
        match = _STATUS.fullmatch(head.partition(b"\n")[0].removesuffix(b"\r"))
        if match is None:
            raise ProxyError("the proxy's answer is not HTTP")
        status = int(match[1])
        if status == 101 or status >= 300:
            raise ProxyError(f"the proxy answers {_describe(status)}")
        # These bytes are not from the server, because in TLS and in MQTT the client speaks first.
        if status >= 200 and self._data:
            raise ProxyError("the proxy sends more than its answer")
        return status >= 200


def _describe(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)
