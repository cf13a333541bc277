"""The HTTP client as downloads see it.

An agent without a job starts sooner and holds less memory without treq and Twisted's HTTP, so they
are imported for the first download.
"""

from __future__ import annotations

from upparat.config.settings import DownloadSettings
from upparat.linux import share_memory

from .exchange import CancelScope, DownloadReactor, Exchange


class Client:
    """Makes exchanges."""

    def __init__(self, reactor: DownloadReactor, settings: DownloadSettings) -> None:
        self._reactor = reactor
        self._settings = settings

    def load(self) -> None:
        """Import all that an exchange needs. Call it in a thread, because it may take a second."""
        from . import http  # noqa: F401

        share_memory()  # each piece of a file passes through several threads

    def exchange(self, scope: CancelScope) -> Exchange:
        """Return a new exchange, all waits of which go through ``scope``."""
        from .http import HttpExchange

        return HttpExchange(self._reactor, self._settings, scope)
