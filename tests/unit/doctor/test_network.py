"""Name lookup, TCP and tunnels: what each failure means."""

from __future__ import annotations

import errno
import socket
import threading
from collections.abc import Iterator

from tests.support.rawbroker import Peer, RawBroker
from tests.unit.doctor.bench import DoctorBench, examination, levels
from upparat.config.settings import BrokerSettings
from upparat.doctor import network
from upparat.net.proxy import Proxy


def proxy_of(*answers: bytes) -> RawBroker:
    """A proxy that sends these bytes, whatever it is asked."""

    def script(peer: Peer) -> None:
        peer.connection.recv(4096)
        for answer in answers:
            peer.send(answer)

    return RawBroker(script)


class NetworkTests(DoctorBench):
    def free_port(self) -> int:
        with socket.create_server(("127.0.0.1", 0)) as server:
            return int(server.getsockname()[1])

    def test_a_name_and_an_address(self) -> None:
        self.says(network.judge_name("dns", "localhost", 1, 5.0), "ok", "localhost is ")
        for host in ("127.0.0.1", "::1"):
            self.says(network.judge_name("dns", host, 1, 5.0), "ok", "is an address")

    def test_what_is_no_name(self) -> None:
        for host in ("a..b", "x" * 70 + ".example"):
            self.says(network.judge_name("dns", host, 1, 5.0), "failed", "is not found")

    def test_a_lookup_that_hangs(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)

        def hang(*_: object, **__: object) -> Iterator[object]:
            release.wait()
            return iter(())

        self.patch(socket, "getaddrinfo", hang)
        found = network.judge_name("dns", "device.example", 1, 0.01)
        self.says(found, "failed", "no answer in 0 s", "/etc/resolv.conf")

    def test_a_broker_that_listens(self) -> None:
        with RawBroker(lambda peer: None) as server:
            broker = BrokerSettings(host="127.0.0.1", port=server.port)
            [found] = network.reach(examination(broker=broker))
        self.says(found, "ok", f"127.0.0.1 port {server.port}")

    def test_nothing_listens(self) -> None:
        broker = BrokerSettings(host="127.0.0.1", port=self.free_port())
        [found] = network.reach(examination(broker=broker))
        self.says(found, "failed", "nothing listens there")

    def test_reasons(self) -> None:
        for error, words in (
            (TimeoutError("timed out"), "firewall"),
            (OSError(errno.ENETUNREACH, "Network is unreachable"), "no route"),
            (OSError(errno.EACCES, "Permission denied"), "Permission denied"),
        ):
            self.says(network.unreachable("tcp", "host", 1, error), "failed", words)

    def test_no_proxy(self) -> None:
        [found] = network.pass_proxy(examination())
        self.says(found, "skipped")


class ProxyTests(DoctorBench):
    def passed(self, *answers: bytes) -> list[tuple[str, str]]:
        with proxy_of(*answers) as proxy:
            settings = Proxy("127.0.0.1", proxy.port, "Basic c2VjcmV0")
            made = examination(broker=BrokerSettings(host="broker.example", proxy=settings))
            self.assertEqual(levels(network.reach(made)), [("tcp", "ok")])
            [self.found] = network.pass_proxy(made)
        return levels([self.found])

    def test_a_tunnel(self) -> None:
        self.assertEqual(self.passed(b"HTTP/1.1 200 OK\r\n", b"\r\n"), [("proxy", "ok")])
        self.says(self.found, "ok", "broker.example port 1883")

    def test_refusals(self) -> None:
        for answer, words in (
            (b"HTTP/1.1 407 Nope\r\n\r\n", "407 Proxy Authentication Required"),
            (b"SSH-2.0\r\n", "is not HTTP"),
            (b"", "closes the connection"),
        ):
            self.passed(answer)
            self.says(self.found, "failed", words, "broker.example")
            self.assertNotIn("c2VjcmV0", str(self.found))
