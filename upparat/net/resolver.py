"""Name lookups that hold nothing up: no file that is being written, no process that is to end."""

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

from .threads import in_daemon

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
"""No address, no name at all, no thread to ask in."""


@implementer(IHostnameResolver)
class Lookups:
    """Asks the platform, each time in a daemon: Twisted's resolver asks in the reactor's pool."""

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
        """A name that cannot be looked up, for whatever reason, has no address."""
        protocol = cast("_Protocol", transportSemantics)
        types = tuple(_KINDS.values() if addressTypes is None else addressTypes)
        lookup = _Lookup(hostName, portNumber, protocol, types, resolutionReceiver)
        resolutionReceiver.resolutionBegan(lookup)
        found = in_daemon(self._reactor, lookup.ask, "lookup")
        found.addErrback(lambda failure: failure.trap(*_NOT_FOUND) and [])
        found.addCallback(lookup.tell)
        found.addErrback(lambda failure: self.log.failure("Telling of an address", failure))
        return lookup


@implementer(IHostResolution)
class _Lookup:
    """One name."""

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

    def ask(self) -> list[IAddress]:
        """Blocks.

        :raises OSError: no address is to be had.
        :raises UnicodeError: this is no name.
        """
        found = socket.getaddrinfo(self.name, self._port, type=_SOCKETS[self._protocol])
        addresses = [
            _KINDS[family](self._protocol, *address)
            for family, _, _, _, address in found
            if family in _KINDS
        ]
        return [address for address in addresses if isinstance(address, self._types)]

    def tell(self, addresses: Sequence[IAddress]) -> None:
        if self._cancelled:
            return
        for address in addresses:
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()

    def cancel(self) -> None:
        """Tell nothing; the thread ends when the platform gives up."""
        self._cancelled = True
