"""Name lookups with ``getaddrinfo`` in a real thread, which a test lets return what it likes."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from typing import Any
from unittest.mock import patch

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IResolutionReceiver,
)
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.unit.net.queue_reactor import QueueReactor
from upparat.net.resolver import DaemonResolver

ADDRESSES: list[Any] = [
    (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 443, 0, 0)),
    (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 443)),
    (socket.AF_UNIX, socket.SOCK_STREAM, 0, "", "/tmp/socket"),
]
IPV6 = IPv6Address("TCP", "2001:db8::1", 443)
IPV4 = IPv4Address("TCP", "192.0.2.1", 443)


@implementer(IResolutionReceiver)
class Receiver:
    def __init__(self) -> None:
        self.resolution: IHostResolution | None = None
        self.addresses: list[IAddress] = []
        self.complete = 0

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        self.resolution = resolutionInProgress

    def addressResolved(self, address: IAddress) -> None:
        assert not self.complete
        self.addresses.append(address)

    def resolutionComplete(self) -> None:
        self.complete += 1


class ResolverTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.reactor = QueueReactor()
        self.resolver = DaemonResolver(self.reactor.as_reactor)
        self.receiver = Receiver()
        self.outcome: Any = ADDRESSES
        self.patch(socket, "getaddrinfo", self.getaddrinfo)

    def getaddrinfo(self, *_: object, **__: object) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome

    def begin(self, types: Sequence[type[IAddress]] | None = None) -> IHostResolution:
        resolution = self.resolver.resolveHostName(self.receiver, "files.example", 443, types)
        self.assertTrue(verifyObject(IHostResolution, resolution))
        self.assertIs(self.receiver.resolution, resolution)
        self.assertEqual(resolution.name, "files.example")
        return resolution

    def test_interface(self) -> None:
        self.assertTrue(verifyObject(IHostnameResolver, self.resolver))

    def test_the_addresses_that_were_asked_for(self) -> None:
        wanted: list[tuple[list[type[IAddress]] | None, list[IAddress]]] = [
            (None, [IPV6, IPV4]),
            ([IPv4Address], [IPV4]),
            ([IPv6Address], [IPV6]),
        ]
        for types, expected in wanted:
            self.receiver = Receiver()
            self.begin(types)
            self.reactor.turn()
            self.assertEqual((self.receiver.addresses, self.receiver.complete), (expected, 1))

    def test_a_name_that_has_no_address(self) -> None:
        for self.outcome in (
            socket.gaierror("Name or service not known"),
            OSError("Too many open files"),
            UnicodeError("label too long"),
        ):
            self.receiver = Receiver()
            self.begin()
            self.reactor.turn()
            self.assertEqual((self.receiver.addresses, self.receiver.complete), ([], 1))

    def test_no_more_threads(self) -> None:
        with patch("threading.Thread.start", side_effect=RuntimeError("can't start new thread")):
            self.begin()
        self.assertEqual((self.receiver.addresses, self.receiver.complete), ([], 1))

    def test_a_cancelled_lookup_reports_nothing(self) -> None:
        self.begin().cancel()
        self.reactor.turn()
        self.assertEqual((self.receiver.addresses, self.receiver.complete), ([], 0))

    def test_a_receiver_that_fails_is_logged(self) -> None:
        self.receiver.addressResolved = lambda _: 1 / 0  # type: ignore[assignment,method-assign]
        self.begin()
        self.reactor.turn()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
