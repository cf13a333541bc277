"""The PUT request of an upload, by treq. It is large, so it is imported for the first upload."""

from __future__ import annotations

from typing import Any, cast

from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError
from twisted.web.http_headers import Headers

from upparat import __version__
from upparat.config.settings import DownloadSettings
from upparat.download.agent import AgentFactory
from upparat.download.connection import HttpConnection
from upparat.download.errors import explain
from upparat.download.exchange import DownloadReactor

from .outcome import UploadFailed

HEAD = 1 << 16
"""Bytes that the head of the response may have, about."""


async def put(
    reactor: DownloadReactor, settings: DownloadSettings, url: str, content: bytes
) -> int:
    """Upload a text in UTF-8, and return the HTTP status. The body of the response is not read.

    :param url: in ASCII; requested byte for byte.
    :raises UploadFailed: if there is no response.
    """
    connections: list[HttpConnection] = []

    def connected(connection: HttpConnection) -> None:
        connections.append(connection)
        connection.limit_bytes(HEAD, lambda: None)

    try:
        client = HTTPClient(AgentFactory(reactor, settings, connected).agent(url.encode("ascii")))
        response = await client.put(
            EncodedURL(),  # empty, because the agent has its own
            data=content,
            headers=_headers(),
            allow_redirects=False,
            unbuffered=True,
            reactor=cast(Any, reactor),
        )
        return int(response.code)
    except CancelledError:
        raise
    except Exception as problem:
        raise UploadFailed(explain(problem)) from None
    finally:
        for connection in connections:
            connection.abort()


def _headers() -> Headers:
    return Headers(
        {
            "User-Agent": [f"upparat/{__version__}"],
            "Content-Type": ["text/plain; charset=utf-8"],
        }
    )
