"""The proxy for each server, from an option or the environment. Pure functions."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote_to_bytes

NONE = "none"
"""The value of an option for no proxy, even if the environment names one."""

SHAPE = "http://[user:password@]host:port"

DEFAULT_PORT = 1080
"""The port of a proxy that the environment names without one, as in curl."""

_PROXY = re.compile(
    r"http://(?:(?P<credentials>[^/\s]*)@)?"
    r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy.

    :ivar authorization: the value of the header ``Proxy-Authorization``; empty for no header.
    """

    host: str
    port: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True)
class Proxies:
    """The proxy for URLs of each scheme.

    :ivar exempt: hosts, domains and networks that are reached without a proxy.
    """

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def towards(self, scheme: str, host: str) -> Proxy | None:
        """The proxy for a server, if there is one.

        :param host: a name, or an address without brackets.
        """
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or _exempt(host, self.exempt) else proxy


NO_PROXIES = Proxies()


def configured(text: str) -> Proxy | None:
    """The proxy that an option names; the option is not empty.

    :raises ValueError: if it is not valid. The message does not quote it, because it may hold a
        password.
    """
    return None if text.lower() == NONE else parse(text)


def from_environment(environ: Mapping[str, str]) -> Proxies:
    """The proxies that ``http_proxy``, ``https_proxy`` and ``no_proxy`` name, by curl's rules.

    Lower case comes first. ``HTTP_PROXY`` is ignored, because in a CGI program a client of the web
    server can set it. See https://curl.se/docs/manpage.html, under ENVIRONMENT.

    :raises ValueError: if a variable is not valid. The message names it and not its value.
    """
    exempt = re.split(r"[,\s]+", environ.get("no_proxy") or environ.get("NO_PROXY", ""))
    return Proxies(
        _from_variable(environ, "http_proxy"),
        _from_variable(environ, "https_proxy", "HTTPS_PROXY"),
        tuple(filter(None, exempt)),
    )


def _from_variable(environ: Mapping[str, str], *names: str) -> Proxy | None:
    name = next((each for each in names if environ.get(each)), "")
    if not name:
        return None
    text = environ[name]
    try:
        return parse(text if "://" in text else f"http://{text}", DEFAULT_PORT)
    except ValueError as error:
        raise ValueError(f"{name} in the environment {error}; {NONE} ignores it") from None


def parse(text: str, port: int | None = None) -> Proxy:
    """Parse the URL of a proxy.

    :param port: the default for a text without a port.
    :raises ValueError: if the text is not valid. The message does not quote it, because it may
        hold a password.
    """
    if re.match(r"(?!http:)\w+://", text, re.IGNORECASE):
        raise ValueError("is no HTTP proxy: only http:// is supported")
    match = _PROXY.fullmatch(text)
    if match is None or (match["port"] is None and port is None):
        raise ValueError(f"is not of the form {SHAPE}")
    number = int(match["port"] or port or 0)
    if not 1 <= number <= 65535:
        raise ValueError("names a port that is not one of 1 to 65535")
    return Proxy(match["host"].strip("[]"), number, _authorization(match["credentials"]))


def _authorization(credentials: str | None) -> str:
    """Basic authentication (RFC 7617) from the credentials of a URL, which are percent-encoded."""
    if not credentials:
        return ""
    user, _, password = credentials.partition(":")
    name = unquote_to_bytes(user)
    if b":" in name:
        raise ValueError("has a user name with a colon in it")
    return "Basic " + b64encode(name + b":" + unquote_to_bytes(password)).decode("ascii")


# --- exemptions ---


def _exempt(host: str, exempt: tuple[str, ...]) -> bool:
    if exempt == ("*",):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        name = _normalized(host)
        return any(
            name == each or name.endswith(f".{each}") for each in map(_normalized, exempt) if each
        )
    return any(_contains(each, str(address)) for each in exempt)


def _normalized(name: str) -> str:
    """A domain in lower case, without a dot at either end."""
    return name.lower().removesuffix(".").removeprefix(".")


def _contains(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network.replace("[", "").replace("]", ""), False)
    except ValueError:
        return False
