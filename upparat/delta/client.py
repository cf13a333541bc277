"""Lines over HTTP, with the limits, the authorities and the proxy of ``[download]``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from upparat.config.settings import DownloadSettings
from upparat.download.exchange import CancelScope, DownloadReactor, Exchange
from upparat.download.rate import Rate

if TYPE_CHECKING:
    from upparat.download.kept import KeptConnection


class HttpLine:
    """A kept connection."""

    def __init__(
        self, reactor: DownloadReactor, settings: DownloadSettings, kept: KeptConnection
    ) -> None:
        self._reactor = reactor
        self._settings = settings
        self._kept = kept

    def exchange(self, scope: CancelScope) -> Exchange:
        from upparat.download.http import HttpExchange  # the first download has imported it

        return HttpExchange(self._reactor, self._settings, scope, self._kept)

    def close(self) -> None:
        self._kept.close()


class HttpLines:
    """Makes lines that share one ``max_rate``."""

    def __init__(self, reactor: DownloadReactor, settings: DownloadSettings) -> None:
        self._reactor = reactor
        self._settings = settings
        self._rate = Rate(reactor, settings.max_rate)

    def __call__(self) -> HttpLine:
        from upparat.download.kept import KeptConnection

        kept = KeptConnection(self._reactor, self._rate)
        return HttpLine(self._reactor, self._settings, kept)
