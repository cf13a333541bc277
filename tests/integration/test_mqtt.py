"""The MQTT service with real sockets, threads and brokers."""

from __future__ import annotations

import contextlib
import re
import socket
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from threading import enumerate as threads
from typing import Any

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.logger import LogEvent, globalLogPublisher

from tests.support import rawbroker as wire
from tests.support.addresses import busy
from tests.support.certs import Authority, Certs, make_certs
from tests.support.mosquitto import Mosquitto, free_port, requires_mosquitto
from tests.support.rawbroker import Peer, RawBroker
from tests.support.reactor import reactor, until
from tests.support.tinyproxy import Tinyproxy, requires_tinyproxy
from tests.support.waiting import PATIENCE
from upparat.backoff import Backoff
from upparat.config.settings import BrokerSettings
from upparat.mqtt import dial as mqtt_dial
from upparat.mqtt.dial import Abandoned, Dial
from upparat.mqtt.service import MqttService
from upparat.net.http_connect import ProxyError
from upparat.net.proxy import Proxy, parse

LARGE = bytes(range(256)) * 800
"""200 KiB: more than AWS admits, and more than a socket buffers."""

IMPATIENT = Backoff(base=0.05, cap=0.05)
TOPIC = "$aws/things/device/jobs/notify"


class SessionUser:
    """Receives the events of a session; subscribes after every connect if it has filters."""

    def __init__(self, service: MqttService, filters: tuple[str, ...] = ()) -> None:
        self.service = service
        self.filters = filters
        self.connects = 0
        self.granted = 0
        self.reasons: list[str] = []
        self.messages: list[tuple[str, bytes]] = []
        service.events = self

    def connected(self) -> None:
        self.connects += 1
        if self.filters:
            self.service.subscribe(self.filters).addCallback(self._granted)

    def _granted(self, _: None) -> None:
        self.granted += 1

    def disconnected(self, reason: str) -> None:
        self.reasons.append(reason)

    def received(self, topic: str, payload: bytes) -> None:
        self.messages.append((topic, payload))

    async def start(self) -> None:
        """Connect, and wait for the subscriptions."""
        self.service.startService()
        await until(lambda: self.granted if self.filters else self.connects)

    async def there_and_back(self, payload: bytes) -> None:
        """A message to ourselves, by way of the broker."""
        self.messages.clear()
        assert self.service.publish(TOPIC, payload)
        await until(lambda: self.messages)
        assert self.messages == [(TOPIC, payload)]


async def stop(service: MqttService) -> None:
    """Stop it; a connect time-out is longer than we wait here."""
    await service.stopService().addTimeout(PATIENCE, reactor)


@contextlib.asynccontextmanager
async def running(
    settings: BrokerSettings, filters: tuple[str, ...] = ()
) -> AsyncIterator[SessionUser]:
    """A user that is stopped at the end, when nothing of it may be left on the reactor."""
    before = set(reactor.getDelayedCalls()), set(reactor.getReaders() + reactor.getWriters())
    user = SessionUser(MqttService(reactor, settings, backoff=IMPATIENT), filters)
    try:
        yield user
    finally:
        await stop(user.service)
        left = set(reactor.getDelayedCalls()), set(reactor.getReaders() + reactor.getWriters())
    assert [new - old for new, old in zip(left, before, strict=True)] == [set(), set()]


@pytest.fixture
def log() -> Iterator[list[LogEvent]]:
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)  # type: ignore[arg-type]
    yield events
    globalLogPublisher.removeObserver(events.append)  # type: ignore[arg-type]


def reasons(log: list[LogEvent]) -> list[str]:
    return [event["reason"] for event in log if "reason" in event]


@pytest.fixture(scope="module")
def certs(tmp_path_factory: pytest.TempPathFactory) -> Certs:
    return make_certs(tmp_path_factory.mktemp("certs"))


def settings(port: int, certs: Certs | None = None, **more: Any) -> BrokerSettings:
    files: dict[str, Any] = {}
    if certs is not None:
        files = {
            "cafile": certs.cafile,
            "certfile": certs.client_cert,
            "keyfile": certs.client_key,
        }
    given: dict[str, Any] = {"host": "127.0.0.1", "client_id": "device", "connect_timeout": 600.0}
    return BrokerSettings(port=port, **(given | files | more))


def server_context(certs: Certs) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certs.server_cert, certs.server_key)
    context.load_verify_locations(certs.cafile)
    context.verify_mode = ssl.CERT_REQUIRED
    return context


def admit(peer: Peer) -> None:
    """Accept, and read what comes until the end."""
    peer.read()
    peer.send(wire.connack())
    peer.read_all()


def admit_and_answer(peer: Peer) -> None:
    """Accept, grant every subscription, acknowledge nothing."""
    while True:
        first, rest = peer.read()
        if first & 0xF0 == wire.CONNECT:
            peer.send(wire.connack())
        elif first & 0xF0 == wire.SUBSCRIBE:
            peer.send(wire.suback(rest))


def say_nothing(peer: Peer) -> None:
    peer.read_all()


# --- mosquitto ---


@requires_mosquitto
@pytest.mark.mosquitto
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_there_and_back(tmp_path: Path, certs: Certs, secure: bool) -> None:
    files = certs if secure else None
    with Mosquitto(tmp_path, certs=files) as broker:
        async with running(settings(broker.port, files), (TOPIC,)) as user:
            await user.start()
            for payload in (b"", b"small", LARGE, bytes(128 * 1024)):
                await user.there_and_back(payload)
    assert "as device (p2, c1, k60)" in broker.log
    assert "(d0, q1, r0, m" in broker.log
    assert ", r1," not in broker.log
    assert "Client device disconnected" in broker.log


@requires_mosquitto
@pytest.mark.mosquitto
@pytest_twisted.ensureDeferred
async def test_broker_restarts(tmp_path: Path) -> None:
    with Mosquitto(tmp_path) as broker:
        async with running(settings(broker.port), (TOPIC,)) as user:
            await user.start()
            broker.kill()
            await until(lambda: user.reasons)
            assert not user.service.connected
            broker.start()
            await until(lambda: user.granted == 2)
            assert user.connects == 2
            assert len(user.reasons) == 1
            await user.there_and_back(b"again")


@requires_mosquitto
@pytest.mark.mosquitto
@pytest_twisted.ensureDeferred
async def test_broker_starts_late(tmp_path: Path, log: list[LogEvent]) -> None:
    port = free_port()
    async with running(settings(port)) as user:
        user.service.startService()
        await until(lambda: len(reasons(log)) > 1)
        assert "Connection refused" in reasons(log)[0]
        with Mosquitto(tmp_path, port=port):
            await until(lambda: user.connects)


@requires_mosquitto
@pytest.mark.mosquitto
@pytest_twisted.ensureDeferred
async def test_credentials(tmp_path: Path, log: list[LogEvent]) -> None:
    with Mosquitto(tmp_path, options=["allow_anonymous false"]) as broker:
        async with running(settings(broker.port, username="me", password="secret")) as user:
            user.service.startService()
            await until(lambda: len(reasons(log)) > 1)
    assert reasons(log)[0] == "the broker refuses the connection: Not authorized"
    assert user.connects == 0
    assert "secret" not in str(log)


@requires_mosquitto
@pytest.mark.mosquitto
@pytest_twisted.ensureDeferred
async def test_client_certificate_of_another_authority(
    tmp_path: Path, certs: Certs, log: list[LogEvent]
) -> None:
    certfile, keyfile = Authority().issue(tmp_path, "stranger")
    stranger = replace(certs, client_cert=certfile, client_key=keyfile)
    with Mosquitto(tmp_path, certs=certs) as broker:
        async with running(settings(broker.port, stranger)) as user:
            user.service.startService()
            await until(lambda: len(reasons(log)) > 1)
    assert user.connects == 0
    assert any("alert" in reason.lower() for reason in reasons(log))


# --- TLS ---


@pytest.mark.parametrize(
    ("which", "complaint"),
    [
        ("authority", "self-signed certificate|unable to get local issuer certificate"),
        ("host", "Hostname mismatch|IP address mismatch"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_wrong_server(
    tmp_path: Path, certs: Certs, log: list[LogEvent], which: str, complaint: str
) -> None:
    other = make_certs(tmp_path, hosts=["somebody.else"])
    served = other if which == "host" else certs
    trusted = replace(certs, cafile=other.cafile)
    with RawBroker(admit, server_context(served)) as broker:
        async with running(settings(broker.port, trusted)) as user:
            user.service.startService()
            await until(lambda: len(reasons(log)) > 1)
    assert user.connects == 0
    for reason in reasons(log):
        assert "CERTIFICATE_VERIFY_FAILED" in reason
        assert any(each in reason for each in complaint.split("|")), reason


@pytest_twisted.ensureDeferred
async def test_old_tls_is_refused(certs: Certs, log: list[LogEvent]) -> None:
    context = server_context(certs)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with RawBroker(admit, context) as broker:
        async with running(settings(broker.port, certs)) as user:
            user.service.startService()
            await until(lambda: reasons(log))
    assert user.connects == 0
    assert "SSL" in reasons(log)[0]


@pytest_twisted.ensureDeferred
async def test_unreadable_certificate(certs: Certs, log: list[LogEvent], tmp_path: Path) -> None:
    """It may vanish while we run; it may also come back."""
    (tmp_path / "moving.pem").write_bytes(Path(certs.client_cert).read_bytes())
    moving = replace(certs, client_cert=str(tmp_path / "moving.pem"))
    (tmp_path / "moving.pem").rename(tmp_path / "away.pem")
    with RawBroker(admit, server_context(certs)) as broker:
        async with running(settings(broker.port, moving)) as user:
            user.service.startService()
            await until(lambda: reasons(log))
            assert "No such file" in reasons(log)[0]
            (tmp_path / "away.pem").rename(tmp_path / "moving.pem")
            await until(lambda: user.connects)


@pytest_twisted.ensureDeferred
async def test_packets_that_come_in_one_record(certs: Certs) -> None:
    """CONNACK, and then SUBACK and all messages: nothing more comes that would wake us up."""

    def coalesce(peer: Peer) -> None:
        peer.read()
        peer.send(wire.connack())
        _, request = peer.read()
        messages = [wire.publish(TOPIC, b"%d" % number) for number in range(500)]
        assert len(b"".join(messages)) < 65536
        peer.send(wire.suback(request), *messages[:300])
        peer.send(*messages[300:])
        peer.read_all()

    with RawBroker(coalesce, server_context(certs)) as broker:
        async with running(settings(broker.port, certs), (TOPIC,)) as user:
            user.service.startService()
            await until(lambda: len(user.messages) == 500)
    assert [int(payload) for _, payload in user.messages] == list(range(500))


@pytest_twisted.ensureDeferred
async def test_large_messages_both_ways(certs: Certs) -> None:
    def echo(peer: Peer) -> None:
        peer.read()
        peer.send(wire.connack())
        while True:
            first, rest = peer.read()
            if first == wire.DISCONNECT:
                return
            if first & 0xF0 == wire.PUBLISH:
                peer.send(wire.puback(1), wire.packet(wire.PUBLISH | 0x02, rest))

    with RawBroker(echo, server_context(certs)) as broker:
        async with running(settings(broker.port, certs)) as user:
            await user.start()
            for _ in range(5):
                await user.there_and_back(LARGE)
    assert {first for first, _ in broker.peers[0].packets} == {
        wire.CONNECT,
        wire.PUBLISH | 0x02,  # QoS 1, not retained, not a repetition
        wire.PUBACK,
        wire.DISCONNECT,
    }


@pytest.mark.parametrize("on_443", [True, False])
@pytest_twisted.ensureDeferred
async def test_alpn(certs: Certs, monkeypatch: pytest.MonkeyPatch, on_443: bool) -> None:
    context = server_context(certs)
    context.set_alpn_protocols(["mqtt", "x-amzn-mqtt-ca"])
    with RawBroker(admit, context) as broker:
        if on_443:
            monkeypatch.setattr(mqtt_dial, "ALPN_PORT", broker.port)
        async with running(settings(broker.port, certs)) as user:
            await user.start()
            selected = broker.peers[0].connection.selected_alpn_protocol()  # type: ignore[attr-defined]
    assert selected == ("x-amzn-mqtt-ca" if on_443 else None)


@pytest_twisted.ensureDeferred
async def test_server_name(certs: Certs) -> None:
    """AWS chooses the account's certificate by it."""
    names: list[str | None] = []
    context = server_context(certs)
    context.sni_callback = lambda connection, name, context: names.append(name)
    with RawBroker(admit, context) as broker:
        local = replace(settings(broker.port, certs), host="localhost")
        async with running(local) as user:
            await user.start()
    assert names == ["localhost"]


# --- through a proxy ---


def behind(url: str, port: int, certs: Certs | None = None, **more: Any) -> BrokerSettings:
    """The settings for a broker that this proxy leads to."""
    return settings(port, certs, proxy=parse(url), **more)


@requires_tinyproxy
@requires_mosquitto
@pytest.mark.mosquitto
@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest.mark.parametrize("credentials", ["", "me:secret"])
@pytest_twisted.ensureDeferred
async def test_there_and_back_through_a_proxy(
    tmp_path: Path, certs: Certs, secure: bool, credentials: str, log: list[LogEvent]
) -> None:
    files = certs if secure else None
    with (
        Tinyproxy(tmp_path / "proxy", credentials) as proxy,
        Mosquitto(tmp_path, certs=files) as broker,
    ):
        assert not credentials or credentials in proxy.url
        given = behind(proxy.url, broker.port, files)
        async with running(given, (TOPIC,)) as user:
            await user.start()
            for payload in (b"", b"small", LARGE):
                await user.there_and_back(payload)
        await until(lambda: "Client device disconnected" in broker.log)  # the proxy passes it on
    assert proxy.asked == [f"CONNECT 127.0.0.1:{broker.port}"]
    assert "secret" not in str(log) + repr(given)


@requires_tinyproxy
@requires_mosquitto
@pytest.mark.mosquitto
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_restarts(tmp_path: Path, certs: Certs, log: list[LogEvent]) -> None:
    with Tinyproxy(tmp_path / "proxy") as proxy, Mosquitto(tmp_path, certs=certs) as broker:
        async with running(behind(proxy.url, broker.port, certs), (TOPIC,)) as user:
            await user.start()
            proxy.kill()
            await until(lambda: any("the proxy: [Errno 111]" in each for each in reasons(log)))
            proxy.start()
            await until(lambda: user.granted == 2)
            await user.there_and_back(b"again")


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_wants_credentials(tmp_path: Path, log: list[LogEvent]) -> None:
    with Tinyproxy(tmp_path, "me:secret") as proxy, RawBroker(admit) as broker:
        async with running(behind(proxy.bare_url, broker.port)) as user:
            user.service.startService()
            await until(lambda: reasons(log))
    assert reasons(log)[0] == "the proxy answers 407 Proxy Authentication Required"
    assert broker.peers == []


@requires_tinyproxy
@pytest_twisted.ensureDeferred
async def test_a_proxy_cannot_stand_in_for_the_broker(
    tmp_path: Path, certs: Certs, log: list[LogEvent]
) -> None:
    other = make_certs(tmp_path / "certs", hosts=["somebody.else"])
    with (
        Tinyproxy(tmp_path / "proxy") as proxy,
        RawBroker(admit, server_context(other)) as broker,
    ):
        trusted = replace(certs, cafile=other.cafile)
        async with running(behind(proxy.url, broker.port, trusted)) as user:
            user.service.startService()
            await until(lambda: reasons(log))
    assert "IP address mismatch" in reasons(log)[0]
    assert user.connects == 0


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 502 Bad Gateway\r\n\r\n", "the proxy answers 502 Bad Gateway"),
        (wire.connack(), "the proxy's answer is not HTTP"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + wire.connack(), "the proxy sends more than its answer"),
        (b"", "the proxy closes the connection"),
    ],
)
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_opens_no_way(answer: bytes, reason: str, log: list[LogEvent]) -> None:
    def script(peer: Peer) -> None:
        peer.connection.recv(65536)
        peer.connection.sendall(answer)

    with RawBroker(script) as broker:
        async with running(behind(f"http://127.0.0.1:{broker.port}", 1883)) as user:
            user.service.startService()
            await until(lambda: len(reasons(log)) > 1)
    assert set(reasons(log)) == {reason}


def drip(peer: Peer) -> None:
    """An answer without an end, with some bytes now and then."""
    peer.connection.recv(65536)
    peer.connection.sendall(b"HTTP/1.1 200 OK\r\n")
    peer.connection.settimeout(0.02)
    while True:
        peer.connection.sendall(b"X")
        with contextlib.suppress(TimeoutError):
            if not peer.connection.recv(1):
                raise EOFError


@pytest.mark.parametrize("script", [say_nothing, drip])
@pytest_twisted.ensureDeferred
async def test_stop_while_the_proxy_hangs(script: Callable[[Peer], None]) -> None:
    with RawBroker(script) as broker:
        async with running(behind(f"http://127.0.0.1:{broker.port}", 1883)) as user:
            user.service.startService()
            await until(lambda: broker.peers)
            await stop(user.service)


@pytest.mark.parametrize("script", [say_nothing, drip])
@pytest_twisted.ensureDeferred
async def test_a_proxy_that_hangs_is_given_up(script: Callable[[Peer], None]) -> None:
    with RawBroker(script) as broker:
        url = f"http://127.0.0.1:{broker.port}"
        with pytest.raises(ProxyError, match=r"^the proxy: timed out$"):
            await Dial(reactor, behind(url, 1883, connect_timeout=0.1)).start()


# --- the end of a connection ---


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_disconnect_arrives(certs: Certs, secure: bool) -> None:
    context = server_context(certs) if secure else None
    with RawBroker(admit_and_answer, context) as broker:
        async with running(settings(broker.port, certs if secure else None), (TOPIC,)) as user:
            await user.start()
            assert user.service.publish(TOPIC, LARGE)
        (peer,) = broker.peers
        await until(lambda: peer.ended)
    assert [first for first, _ in peer.packets[-2:]] == [wire.PUBLISH | 0x02, wire.DISCONNECT]
    assert broker.problems == []


@pytest_twisted.ensureDeferred
async def test_disconnect_arrives_though_the_broker_goes_on_talking() -> None:
    stopping = Event()

    def talk(peer: Peer) -> None:
        peer.read()
        peer.send(wire.connack())
        while not stopping.is_set():
            peer.send(wire.publish(TOPIC, bytes(1000)))
        peer.send(*[wire.publish(TOPIC, bytes(1000))] * 100)
        peer.read_all()

    with RawBroker(talk) as broker:
        async with running(settings(broker.port)) as user:
            user.service.startService()
            await until(lambda: user.messages)
            stopped = user.service.stopService()
            stopping.set()
            await stopped
        (peer,) = broker.peers
        await until(lambda: peer.ended)
    assert peer.packets[-1] == (wire.DISCONNECT, b"")
    assert broker.problems == []


@pytest_twisted.ensureDeferred
async def test_refused_subscription_leads_to_a_new_connection() -> None:
    refusals = [[1] * 8, [1, 1, 0x80, 1]]

    def refuse_once(peer: Peer) -> None:
        peer.read()
        peer.send(wire.connack())
        while True:
            first, rest = peer.read()
            if first & 0xF0 == wire.SUBSCRIBE:
                peer.send(wire.suback(rest, refusals.pop(0) if refusals else None))

    filters = tuple(f"topic/{number}" for number in range(12))
    with RawBroker(refuse_once) as broker:
        async with running(settings(broker.port)) as user:
            granted: list[int] = []

            def subscribe() -> None:
                user.service.subscribe(filters).addCallbacks(
                    lambda _: granted.append(1),
                    lambda failure: user.service.disconnect_and_retry(str(failure.value)),
                )

            user.connected = subscribe  # type: ignore[method-assign]
            user.service.startService()
            await until(lambda: granted)
            assert user.reasons == ["the broker refuses topic/10"]
        first, second = broker.peers
        await until(lambda: second.ended)
    for peer in (first, second):
        subscribes = [rest for first, rest in peer.packets if first & 0xF0 == wire.SUBSCRIBE]
        assert [len(wire.filters(rest)) for rest in subscribes] == [8, 4]
        assert peer.packets[-1] == (wire.DISCONNECT, b"")


# --- connects that do not come to an end ---


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_stop_while_the_broker_says_nothing(certs: Certs, secure: bool) -> None:
    """Over TLS it is the thread that waits, for the handshake."""
    with RawBroker(say_nothing) as broker:
        async with running(settings(broker.port, certs if secure else None)) as user:
            user.service.startService()
            await until(lambda: broker.peers)
            await stop(user.service)
        await until(lambda: broker.peers[0].ended)


@pytest.mark.parametrize("secure", [False, True], ids=["tcp", "tls"])
@pytest_twisted.ensureDeferred
async def test_silence_is_given_up(certs: Certs, log: list[LogEvent], secure: bool) -> None:
    files = certs if secure else None
    with RawBroker(say_nothing) as broker:
        async with running(settings(broker.port, files, connect_timeout=0.2)) as user:
            user.service.startService()
            await until(lambda: len(broker.peers) > 2)
            assert all(peer.ended for peer in broker.peers[:2])
    assert user.connects == 0
    # The reactor and the thread have the same limit; either may be the first to see it.
    assert all(re.search("no connection within 0.2 s|timed out", each) for each in reasons(log))


@pytest.fixture
def busy_port() -> Iterator[int]:
    with busy("127.0.0.1") as port:
        yield port


@pytest_twisted.ensureDeferred
async def test_stop_while_nobody_accepts(busy_port: int) -> None:
    async with running(settings(busy_port)) as user:
        user.service.startService()
        dial = user.service._dial
        assert dial is not None
        await until(lambda: dial._socket is not None)
        await stop(user.service)
        assert dial._socket is None


@pytest_twisted.ensureDeferred
async def test_the_thread_has_a_limit_of_its_own(certs: Certs) -> None:
    with RawBroker(say_nothing) as broker:
        with pytest.raises(TimeoutError):
            await Dial(reactor, settings(broker.port, certs, connect_timeout=0.1)).start()
        await until(lambda: broker.peers[0].ended)


def dialling() -> bool:
    """Whether a thread is on its way to a broker."""
    return any(thread.name == "upparat-mqtt-dial" for thread in threads())


@pytest_twisted.ensureDeferred
async def test_stop_during_name_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing can interrupt it; stopping does not wait for it, and nothing is opened after it."""
    asked, answer = Event(), Event()

    def lookup(*_: object, **__: object) -> list[object]:
        asked.set()
        answer.wait(PATIENCE)
        return resolve("127.0.0.1", broker.port, type=socket.SOCK_STREAM)  # type: ignore

    resolve = socket.getaddrinfo
    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with RawBroker(say_nothing) as broker:
        async with running(settings(broker.port)) as user:
            user.service.startService()
            await until(asked.is_set)
            await stop(user.service)
            assert dialling()
            answer.set()
            await until(lambda: not dialling())
        assert broker.peers == []


@pytest_twisted.ensureDeferred
async def test_abandoned_at_the_last_moment() -> None:
    """The socket is on its way from the thread when nobody wants it any more."""

    class LateReactor:
        def callFromThread(self, call: Callable[..., None], *args: object) -> None:
            dial.abandon()
            reactor.callFromThread(call, *args)

    with RawBroker(say_nothing) as broker:
        dial = Dial(LateReactor(), settings(broker.port))  # type: ignore[arg-type]
        with pytest.raises(Abandoned):
            await dial.start()
        await until(lambda: broker.peers and broker.peers[0].ended)


@pytest_twisted.ensureDeferred
async def test_one_address_after_the_other(monkeypatch: pytest.MonkeyPatch, busy_port: int) -> None:
    """Neither a refusal nor silence keeps the next address from its share of the time."""
    with RawBroker(admit) as broker:
        addresses = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))
            for port in (free_port(), busy_port, broker.port)
        ]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: addresses)
        async with running(settings(broker.port, connect_timeout=0.4)) as user:
            await user.start()


@pytest.mark.parametrize("answering", [False, True], ids=["silent", "refusing"])
@pytest.mark.parametrize("proxied", [False, True], ids=["broker", "proxy"])
@pytest_twisted.ensureDeferred
async def test_ipv4_where_ipv6_leads_nowhere(
    monkeypatch: pytest.MonkeyPatch, answering: bool, proxied: bool
) -> None:
    """And the other way round; of a broker, or of the proxy before it."""

    def open_and_admit(peer: Peer) -> None:
        if proxied:
            peer.connection.recv(65536)
            peer.connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        admit(peer)

    def lookup(host: str, port: int, **_: object) -> list[tuple[Any, ...]]:
        assert host == "name.example"
        return [
            (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("::1", port, 0, 0)),
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port)),
        ]

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with RawBroker(open_and_admit) as broker, contextlib.ExitStack() as stack:
        if not answering:
            stack.enter_context(busy("::1", broker.port))
        proxy = Proxy("name.example", broker.port) if proxied else None
        host = "broker.example" if proxied else "name.example"
        given = settings(broker.port, host=host, proxy=proxy, connect_timeout=0.4)
        async with running(given) as user:
            await user.start()


@pytest_twisted.ensureDeferred
async def test_an_ipv6_address(tmp_path: Path) -> None:
    """With TLS the certificate has to be for it."""
    certs = make_certs(tmp_path, ["::1"])
    with RawBroker(admit, server_context(certs), "::1") as broker:
        async with running(settings(broker.port, certs, host="::1")) as user:
            await user.start()


@pytest_twisted.ensureDeferred
async def test_unknown_host(log: list[LogEvent]) -> None:
    async with running(replace(settings(1883), host="nowhere.invalid")) as user:
        user.service.startService()
        await until(lambda: reasons(log))
    assert user.connects == 0


@pytest_twisted.ensureDeferred
async def test_socket_options() -> None:
    opened: Deferred[socket.socket]
    with RawBroker(say_nothing) as broker:
        opened = Dial(reactor, settings(broker.port)).start()
        with await opened as ours:
            assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert ours.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
