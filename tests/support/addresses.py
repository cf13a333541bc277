"""Names with several addresses, and addresses where nobody answers."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

from .reactor import reactor


@contextlib.contextmanager
def named(name: str, addresses: Sequence[str]) -> Iterator[None]:
    """Let the reactor find this name, and no other, at these addresses."""
    previous = reactor.installNameResolver(_Resolver(name, addresses))
    try:
        yield
    finally:
        reactor.installNameResolver(previous)


@contextlib.contextmanager
def busy(address: str, port: int = 0) -> Iterator[int]:
    """A port where nobody accepts and the backlog is full: TCP's handshake gets no answer."""
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    with contextlib.ExitStack() as stack:
        listener = socket.create_server((address, port), family=family, backlog=0)
        stack.enter_context(listener)
        for _ in range(3):
            filler = stack.enter_context(socket.socket(family))
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()[1]


@implementer(IHostnameResolver)
class _Resolver:
    def __init__(self, name: str, addresses: Sequence[str]) -> None:
        self._name = name
        self._addresses = addresses

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Any = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        resolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for address in self._addresses if hostName == self._name else ():
            kind = IPv6Address if ":" in address else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", address, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It is over at once."""
