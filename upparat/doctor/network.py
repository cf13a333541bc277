"""Name lookup, TCP and tunnels, each with its time-out; and the steps that try them."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Iterator
from ipaddress import ip_address
from typing import Any

from upparat.config.settings import BrokerSettings
from upparat.net.http_connect import ConnectResponse, ProxyError, connect_request
from upparat.net.proxy import Proxy

from .examination import Examination
from .finding import Finding, failed, ok, skipped
from .waiting import within

RECEIVE_SIZE = 4096

Addresses = list[tuple[Any, ...]]


# --- the steps ---


def look_up(examination: Examination) -> Iterator[Finding]:
    """DNS: the name of the broker, or of the proxy in front of it."""
    host, port = target(examination.settings.broker)
    yield judge_name("dns", host, port, examination.seconds(examination.limits.connect))


def reach(examination: Examination) -> Iterator[Finding]:
    """TCP: a connection to the broker, or to the proxy in front of it."""
    host, port = target(examination.settings.broker)
    seconds = examination.seconds(examination.limits.connect)
    try:
        connect(host, port, seconds).close()
    except OSError as error:
        yield unreachable("tcp", host, port, error)
    else:
        yield ok("tcp", f"{host} port {port} takes the connection")


def pass_proxy(examination: Examination) -> Iterator[Finding]:
    """Proxy: a tunnel to the broker."""
    broker = examination.settings.broker
    if broker.proxy is None:
        yield skipped("proxy", "[broker] proxy is not set")
        return
    try:
        open_line(broker, examination.seconds(examination.limits.connect)).close()
    except (OSError, ProxyError) as error:
        meaning = f"no tunnel to {broker.host} port {broker.port}: {error}"
        yield failed("proxy", meaning, "Let the proxy connect there; see its log and its password")
    else:
        yield ok("proxy", f"it opens a tunnel to {broker.host} port {broker.port}")


def target(broker: BrokerSettings) -> tuple[str, int]:
    """Where the TCP connection leads to."""
    return (broker.proxy.host, broker.proxy.port) if broker.proxy else (broker.host, broker.port)


# --- judgements that the download shares ---


def judge_name(name: str, host: str, port: int, seconds: float) -> Finding:
    """Look up a host name."""
    if is_address(host):
        return ok(name, f"{host} is an address")
    try:
        found = look_upwithin(host, port, seconds)
    except OSError as error:
        remedy = "Check the name; see /etc/resolv.conf and whether its servers answer"
        return failed(name, f"{host} is not found: {_reason(error)}", remedy)
    shown = ", ".join(dict.fromkeys(str(address[4][0]) for address in found))
    return ok(name, f"{host} is {shown}")


def unreachable(name: str, host: str, port: int, error: OSError) -> Finding:
    """The finding for a server that takes no connection."""
    if error.errno == errno.ECONNREFUSED:
        what, remedy = "nothing listens there", "Check the port, and whether the server runs"
    elif isinstance(error, TimeoutError):
        what, remedy = "no answer", "Look for a firewall in between"
    elif error.errno in (errno.ENETUNREACH, errno.EHOSTUNREACH):
        what, remedy = "there is no route", "Bring the network up, and check its gateway"
    else:
        what, remedy = _reason(error), "See the reason"
    return failed(name, f"{host} port {port} cannot be reached: {what}", remedy)


def is_address(host: str) -> bool:
    """Whether a host is an address and no name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _reason(error: OSError) -> str:
    return str(error.strerror or error)


# --- the work ---


def look_upwithin(host: str, port: int, seconds: float) -> Addresses:
    """Look up a name.

    :raises OSError: if it has no address, or is not found in so many seconds.
    """
    try:
        return within(seconds, lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    except UnicodeError:
        raise OSError("it is no host name") from None


def connect(host: str, port: int, seconds: float) -> socket.socket:
    """Connect by TCP; each address gets its share of the time.

    :raises OSError: if no address takes the connection.
    """
    deadline = time.monotonic() + seconds
    addresses = look_upwithin(host, port, seconds)
    problem = OSError("the name has no address")
    for index, (family, kind, protocol, _, address) in enumerate(addresses):
        opened = socket.socket(family, kind, protocol)
        opened.settimeout(max(deadline - time.monotonic(), 0.1) / (len(addresses) - index))
        try:
            opened.connect(address)
            return opened
        except OSError as error:
            problem = error
            opened.close()
    raise problem


def open_line(broker: BrokerSettings, seconds: float) -> socket.socket:
    """Open the connection to the broker that TLS or MQTT begins on.

    :raises OSError: if there is no connection.
    :raises ProxyError: if the proxy opens no tunnel.
    """
    deadline = time.monotonic() + seconds
    opened = connect(*target(broker), seconds)
    opened.settimeout(seconds)
    try:
        if broker.proxy:
            _tunnel(opened, broker.proxy, broker.host, broker.port, deadline)
    except BaseException:
        opened.close()
        raise
    return opened


def _tunnel(opened: socket.socket, proxy: Proxy, host: str, port: int, deadline: float) -> None:
    opened.sendall(connect_request(proxy, host, port))
    response = ConnectResponse()
    while True:
        data = opened.recv(RECEIVE_SIZE)
        if not data:
            raise ProxyError("the proxy closes the connection")
        if response.feed(data):
            return
        if time.monotonic() > deadline:  # the proxy sends a byte now and then, for ever
            raise ProxyError("the proxy's answer has no end")
