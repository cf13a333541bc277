"""The step that tries to download a file: name, connection, TLS, and a GET of one byte."""

from __future__ import annotations

import http.client
import ssl
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from urllib.parse import SplitResult, urlsplit

from upparat import __version__
from upparat.config.settings import DownloadSettings
from upparat.net.proxy import Proxy

from .examination import Examination
from .finding import Finding, Level, failed, ok, skipped, warning
from .network import judge_name, unreachable
from .tls import judge_refusal
from .waiting import within

NAME = "download"

_STATUSES = {
    403: ("the URL has expired, or its signer may not read the file", "Get a fresh URL"),
    404: ("there is no such file", "Check the URL"),
    429: ("the server is busy", "Try again later"),
}


@dataclass(frozen=True)
class _Place:
    """Where a URL leads to. Its query is a secret."""

    parts: SplitResult
    host: str
    port: int
    proxy: Proxy | None

    @property
    def secure(self) -> bool:
        return self.parts.scheme == "https"

    @property
    def hop(self) -> tuple[str, int]:
        """Where the TCP connection leads to."""
        return (self.proxy.host, self.proxy.port) if self.proxy else (self.host, self.port)

    @property
    def target(self) -> str:
        """What the request line names."""
        path = f"{self.parts.path or '/'}{'?' if self.parts.query else ''}{self.parts.query}"
        plain_proxy = self.proxy is not None and not self.secure
        return f"http://{self.parts.netloc}{path}" if plain_proxy else path


def examine(examination: Examination) -> Iterator[Finding]:
    """The name first, then the rest."""
    if not examination.url:
        yield skipped(NAME, "no --url is given")
        return
    settings = examination.settings.download
    place = _place(examination.url, settings)
    if place is None:
        yield failed(NAME, "--url is no http: or https: URL", "Give the URL of the job document")
        return
    named = judge_name(NAME, *place.hop, examination.seconds(examination.limits.connect))
    if named.level is Level.FAILED:
        yield named
        return
    yield _fetched(examination, settings, place)


def _place(url: str, settings: DownloadSettings) -> _Place | None:
    try:
        parts = urlsplit(url)
        port = parts.port or {"http": 80, "https": 443}[parts.scheme]
        proxy = settings.proxy.towards(parts.scheme, parts.hostname or "")
        url.encode("ascii")
    except (KeyError, ValueError):
        return None
    return _Place(parts, parts.hostname, port, proxy) if parts.hostname else None


def _fetched(examination: Examination, settings: DownloadSettings, place: _Place) -> Finding:
    try:
        with closing(_connection(examination, settings, place)) as connection:
            connection.connect()
            # The server may send a byte now and then, for ever.
            seconds = examination.seconds(examination.limits.answer)
            return within(seconds, lambda: _asked(examination, settings, place, connection))
    except ssl.SSLError as error:
        return judge_refusal(NAME, place.host, error, examination.now())
    except http.client.HTTPException:  # its text may hold the URL
        return failed(NAME, f"{place.host} does not answer as HTTP says", "Check host and port")
    except OSError as error:
        return _no_connection(place, error)


def _no_connection(place: _Place, error: OSError) -> Finding:
    if place.proxy and "Tunnel connection failed" in str(error):
        meaning = f"the proxy answers {str(error).partition(': ')[2]} for {place.host}"
        return failed(NAME, meaning, "Let the proxy connect there; check its password")
    return unreachable(NAME, *place.hop, error)


def _connection(
    examination: Examination, settings: DownloadSettings, place: _Place
) -> http.client.HTTPConnection:
    """:raises OSError: if ``[download] cafile`` cannot be used."""
    seconds = examination.seconds(examination.limits.connect)
    if not place.secure:
        return http.client.HTTPConnection(*place.hop, timeout=seconds)
    context = ssl.create_default_context(cafile=settings.cafile or None)
    connection = http.client.HTTPSConnection(*place.hop, timeout=seconds, context=context)
    if place.proxy:
        connection.set_tunnel(place.host, place.port, _credentials(place.proxy))
    return connection


def _credentials(proxy: Proxy) -> dict[str, str]:
    return {"Proxy-Authorization": proxy.authorization} if proxy.authorization else {}


def _asked(
    examination: Examination,
    settings: DownloadSettings,
    place: _Place,
    connection: http.client.HTTPConnection,
) -> Finding:
    headers = {"Range": "bytes=0-0", "User-Agent": f"upparat/{__version__}"}
    if place.proxy and not place.secure:
        headers |= _credentials(place.proxy)
    connection.request("GET", place.target, headers=headers)
    response = connection.getresponse()
    _note_time(examination, response.getheader("Date"))
    finding = judge_status(place.host, response.status, response.getheader("Location") or "")
    if finding.level is Level.OK and not (place.secure or settings.allow_http):
        meaning = f"{finding.meaning}, but over plain http"
        return warning(NAME, meaning, "Use https:, or give each job a digest")
    return finding


def judge_status(host: str, status: int, location: str = "") -> Finding:
    """Say what an HTTP status means for a download.

    :param location: where a redirect leads to; only its host is shown.
    """
    shown = f"{host} answers {_phrase(status)}"
    if status in (200, 206):
        resumed = "" if status == 206 else "; it ignores ranges, so no download is resumed"
        return ok(NAME, f"{shown}{resumed}")
    if 300 <= status < 400:
        meaning = f"{shown}, to {_host(location) or 'another place'}"
        return warning(NAME, meaning, "Try the URL that it leads to as well")
    meaning, remedy = _STATUSES.get(status, ("the file is not to be had", "See the server's log"))
    return failed(NAME, f"{shown}: {meaning}", remedy)


def _host(location: str) -> str:
    try:
        return urlsplit(location).hostname or ""
    except ValueError:
        return ""


def _phrase(status: int) -> str:
    try:
        return f"{status} {HTTPStatus(status).phrase}"
    except ValueError:
        return str(status)


def _note_time(examination: Examination, date: str | None) -> None:
    try:
        time = parsedate_to_datetime(date or "")
    except ValueError:
        return
    if time.tzinfo is not None:
        examination.server_time = time
