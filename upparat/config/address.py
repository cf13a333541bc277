"""The address that a server of the agent listens on: an IP address and a port."""

from __future__ import annotations

import ipaddress
from typing import NamedTuple


class ListenAddress(NamedTuple):
    """An address; ``host`` is an IP address in its shortest form."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this device can reach it."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def listen_address(text: str) -> ListenAddress:
    """Read ``ADDRESS:PORT``; an IPv6 address has brackets. ``localhost`` is ``127.0.0.1``, and no
    other name is read, because it could mean several addresses.

    :raises ValueError: with the problem.
    """
    host, colon, port = text.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{text!r} is not of the form ADDRESS:PORT")
    if not (port.isascii() and port.isdigit() and 1 <= int(port[:6]) <= 65535):
        raise ValueError(f"the port must be 1 to 65535, not {port!r}")
    return ListenAddress(_ip_address(host), int(port))


def _ip_address(host: str) -> str:
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        found = ipaddress.ip_address(_bare(host, bracketed))
    except ValueError:
        raise ValueError(f"{host!r} is neither an IP address nor localhost") from None
    if (found.version == 6) != bracketed:
        raise ValueError(f"{host!r}: an IPv6 address has brackets, and no other")
    return found.compressed


def _bare(host: str, bracketed: bool) -> str:
    if bracketed:
        return host[1:-1]
    return "127.0.0.1" if host.lower() == "localhost" else host
