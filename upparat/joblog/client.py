"""The HTTP client as uploads see it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from upparat.config.settings import DownloadSettings
from upparat.download.exchange import DownloadReactor


class UploadClient:
    """Uploads with the authorities, the proxy and the time-outs of ``[download]``."""

    def __init__(self, reactor: DownloadReactor, settings: DownloadSettings) -> None:
        self._reactor = reactor
        self._settings = settings

    def put(self, url: str, content: bytes) -> Deferred[int]:
        """Upload a text in UTF-8; fires with the HTTP status. Cancel it to drop the connection.

        The Deferred fails with :class:`~.outcome.UploadFailed` if there is no response.
        """
        return Deferred.fromCoroutine(self._put(url, content))

    async def _put(self, url: str, content: bytes) -> int:
        await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), _load)
        from .http import put

        return await put(self._reactor, self._settings, url, content)


def _load() -> None:
    """Import the client in a thread, because it may take a slow device a second."""
    from . import http  # noqa: F401
