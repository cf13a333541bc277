"""Which proxy stands before which server: pure functions from an option or the environment."""

from __future__ import annotations

import re
from base64 import b64encode
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from urllib.parse import unquote_to_bytes

NONE = "none"
"""The value of an option that wants no proxy, whatever the environment says."""

SHAPE = "http://[user:password@]host:port"

PORT = 1080
"""The port of a proxy that the environment names without one, as curl has it."""

_PROXY = re.compile(
    r"http://(?:(?P<credentials>[^/\s]*)@)?"
    r"(?P<host>[a-z0-9._-]+|\[[0-9a-f:.]+\])(?::(?P<port>\d{1,5}))?/?",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Proxy:
    """An HTTP proxy; ``authorization`` is what ``Proxy-Authorization`` says, empty for nothing."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)


@dataclass(frozen=True)
class Proxies:
    """The proxy for URLs of each scheme; ``exempt`` are hosts, domains and networks without."""

    http: Proxy | None = None
    https: Proxy | None = None
    exempt: tuple[str, ...] = ()

    def towards(self, scheme: str, host: str) -> Proxy | None:
        """The proxy on the way to ``host``, a name or an address without brackets."""
        proxy = self.https if scheme == "https" else self.http
        return None if proxy is None or _exempt(host, self.exempt) else proxy


NO_PROXIES = Proxies()


def configured(text: str) -> Proxy | None:
    """What an option says, which is not empty.

    :raises ValueError: without the text, which may hold a password.
    """
    return None if text.lower() == NONE else parse(text)


def from_environment(environ: Mapping[str, str]) -> Proxies:
    """What ``http_proxy``, ``https_proxy`` and ``no_proxy`` say, by the rules of curl.

    Lower case comes first; ``HTTP_PROXY`` counts for nothing, since a web server may set it to
    what a client likes. See https://curl.se/docs/manpage.html, under ENVIRONMENT.

    :raises ValueError: which names the variable, but not its value.
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
        return parse(text if "://" in text else f"http://{text}", PORT)
    except ValueError as error:
        raise ValueError(f"{name} in the environment {error}; {NONE} ignores it") from None


def parse(text: str, port: int | None = None) -> Proxy:
    """:param port: for a text that names none.
    :raises ValueError: without the text, which may hold a password.
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
    """Basic authentication, RFC 7617; what is special in a URL is written with a percent sign."""
    if not credentials:
        return ""
    user, _, password = credentials.partition(":")
    name = unquote_to_bytes(user)
    if b":" in name:
        raise ValueError("has a user name with a colon in it")
    return "Basic " + b64encode(name + b":" + unquote_to_bytes(password)).decode("ascii")


# --- who needs none ---


def _exempt(host: str, exempt: tuple[str, ...]) -> bool:
    if exempt == ("*",):
        return True
    try:
        address = ip_address(host)
    except ValueError:
        name = _bare(host)
        return any(name == each or name.endswith(f".{each}") for each in map(_bare, exempt) if each)
    return any(_holds(each, str(address)) for each in exempt)


def _bare(name: str) -> str:
    """In small letters, without the dots that may be around it."""
    return name.lower().removesuffix(".").removeprefix(".")


def _holds(network: str, address: str) -> bool:
    try:
        return ip_address(address) in ip_network(network.replace("[", "").replace("]", ""), False)
    except ValueError:
        return False
