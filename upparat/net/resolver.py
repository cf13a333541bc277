"""Name lookups in daemon threads, so that neither the end of the process nor file work waits."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Literal, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IResolutionReceiver,
)
from twisted.logger import Logger
from zope.interface import implementer

from .threads import defer_to_daemon_thread

_KINDS: dict[int, type[IPv4Address | IPv6Address]] = {
    socket.AF_INET: IPv4Address,
    socket.AF_INET6: IPv6Address,
}
_Protocol = Literal["TCP", "UDP"]
_SOCKETS: dict[_Protocol, socket.SocketKind] = {
    "TCP": socket.SOCK_STREAM,
    "UDP": socket.SOCK_DGRAM,
}
_NOT_FOUND = (OSError, UnicodeError, RuntimeError)
"""Raised when a name has no address, is not valid, or no thread can be started."""


@implementer(IHostnameResolver)
class DaemonResolver:
    """Looks each name up by ``getaddrinfo``, in a daemon thread of its own.

    Twisted's resolver uses the reactor's thread pool, where files are written as well, and which
    is joined at exit.
    """

    log = Logger()

    def __init__(self, reactor: IReactorFromThreads) -> None:
        self._reactor = reactor

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """Look a name up; if that fails for any reason, the name has no address."""
        protocol = cast("_Protocol", transportSemantics)
        types = tuple(_KINDS.values() if addressTypes is None else addressTypes)
        lookup = _Lookup(hostName, portNumber, protocol, types, resolutionReceiver)
        resolutionReceiver.resolutionBegan(lookup)
        found = defer_to_daemon_thread(self._reactor, lookup.look_up, "lookup")
        found.addErrback(lambda failure: failure.trap(*_NOT_FOUND) and [])
        found.addCallback(lookup.report)
        found.addErrback(
            lambda failure: self.log.failure("The receiver of an address has raised", failure)
        )
        return lookup


@implementer(IHostResolution)
class _Lookup:
    """The lookup of one name."""

    def __init__(
        self,
        name: str,
        port: int,
        protocol: _Protocol,
        types: tuple[type[IAddress], ...],
        receiver: IResolutionReceiver,
    ) -> None:
        self.name = name
        self._port = port
        self._protocol = protocol
        self._types = types
        self._receiver = receiver
        self._cancelled = False

    def look_up(self) -> list[IAddress]:
        """Return the addresses of the wanted types. Blocks.

        :raises OSError: if there is no address.
        :raises UnicodeError: if the name is not valid.
        """
        found = socket.getaddrinfo(self.name, self._port, type=_SOCKETS[self._protocol])
        addresses = [
            _KINDS[family](self._protocol, *address)
            for family, _, _, _, address in found
            if family in _KINDS
        ]
        return [address for address in addresses if isinstance(address, self._types)]

    def report(self, addresses: Sequence[IAddress]) -> None:
        if self._cancelled:
            return
        for address in addresses:
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()

    def cancel(self) -> None:
        """Report nothing any more; the thread ends when the platform gives the lookup up."""
        self._cancelled = True
