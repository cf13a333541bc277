"""The names by which a browser may ask.

A hostile site can let its own name point to this device, and a browser would then let the site read
the page (DNS rebinding). The name is in the ``Host`` header, so only names that no stranger can own
are answered.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address

from upparat.config.address import ListenAddress

Address = IPv4Address | IPv6Address


def is_ours(header: str | None, configured: ListenAddress, arrived: str) -> bool:
    """Whether a ``Host`` header names this device.

    :param header: the header, with or without a port; ``None`` if it is missing.
    :param configured: the address that the server listens on.
    :param arrived: the IP address of this device that the request has come to.
    """
    host = _host(header or "")
    if host == "localhost":
        return True
    address = _address(host)
    if address is None:
        return False
    ours = {ip_address(configured.host), _address(arrived)}
    return address.is_loopback or address in ours


def _host(header: str) -> str:
    """The host without its port: a name, or an IP address without brackets."""
    if header.startswith("["):
        host, bracket, port = header[1:].partition("]")
        return host if bracket and _is_port(port) else ""
    host, colon, number = header.partition(":")
    return host.lower() if _is_port(colon + number) else ""


def _is_port(text: str) -> bool:
    digits = text[1:]
    return not text or (text[0] == ":" and digits.isascii() and digits.isdigit())


def _address(text: str) -> Address | None:
    try:
        found = ip_address(text)
    except ValueError:
        return None
    mapped = found.ipv4_mapped if isinstance(found, IPv6Address) else None
    return mapped or found
