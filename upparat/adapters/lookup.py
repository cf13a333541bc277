"""Name lookups that hold nothing up: no file that is being written, no process that is to end."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from threading import Thread
from typing import Literal, cast

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IResolutionReceiver,
)
from zope.interface import implementer

_KINDS: dict[int, type[IPv4Address | IPv6Address]] = {
    socket.AF_INET: IPv4Address,
    socket.AF_INET6: IPv6Address,
}
_Protocol = Literal["TCP", "UDP"]
_SOCKETS: dict[_Protocol, socket.SocketKind] = {
    "TCP": socket.SOCK_STREAM,
    "UDP": socket.SOCK_DGRAM,
}


@implementer(IHostnameResolver)
class Lookups:
    """Asks the platform, each time in a thread of its own.

    Twisted's resolver lends a thread of the reactor's pool. That pool is joined at exit, and
    nothing can interrupt a lookup that gets no answer: with no DNS server in reach a stop would
    take as long as the platform goes on asking. These threads are daemons.
    """

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
        lookup = _Lookup(hostName, portNumber, protocol, resolutionReceiver)
        resolutionReceiver.resolutionBegan(lookup)
        wanted = (IPv4Address, IPv6Address) if addressTypes is None else tuple(addressTypes)

        def ask() -> None:
            found = [each for each in lookup.ask() if isinstance(each, wanted)]
            self._reactor.callFromThread(lookup.tell, found)

        try:
            Thread(target=ask, name="upparat-lookup", daemon=True).start()
        except RuntimeError:  # no more threads
            lookup.tell([])
        return lookup


@implementer(IHostResolution)
class _Lookup:
    """One name."""

    def __init__(
        self, name: str, port: int, protocol: _Protocol, receiver: IResolutionReceiver
    ) -> None:
        self.name = name
        self._port = port
        self._protocol = protocol
        self._receiver = receiver
        self._cancelled = False

    def ask(self) -> list[IPv4Address | IPv6Address]:
        """Blocks."""
        try:
            found = socket.getaddrinfo(self.name, self._port, type=_SOCKETS[self._protocol])
        except (OSError, UnicodeError):  # it may be no name at all
            return []
        return [
            _KINDS[family](self._protocol, *address)
            for family, _, _, _, address in found
            if family in _KINDS
        ]

    def tell(self, addresses: Sequence[IPv4Address | IPv6Address]) -> None:
        if self._cancelled:
            return
        for address in addresses:
            self._receiver.addressResolved(address)
        self._receiver.resolutionComplete()

    def cancel(self) -> None:
        """Tell nothing; the thread ends when the platform gives up."""
        self._cancelled = True
