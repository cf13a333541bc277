"""The HTTP client as downloads see it. Its parts are imported for the first download, because an
agent without a job starts sooner and holds less memory without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred, succeed

from upparat.config.settings import Download

from .exchange import CancelScope, Exchange, Reactor

if TYPE_CHECKING:
    from .pool import Connections


class Client:
    """Makes exchanges, which share connections."""

    def __init__(self, reactor: Reactor, settings: Download) -> None:
        self._reactor = reactor
        self._settings = settings
        self._connections: Connections | None = None

    def load(self) -> None:
        """Import everything. Takes a while, so call it in a thread."""
        from . import pool as download_connections  # noqa: F401

    def exchange(self, scope: CancelScope) -> Exchange:
        from .http import HttpExchange
        from .pool import Connections

        if self._connections is None:
            self._connections = Connections(self._reactor, self._settings)
        return HttpExchange(self._reactor, self._settings, scope, self._connections)

    def close(self) -> Deferred[None]:
        """Close all connections; fires when they are. No exchange must be under way."""
        return succeed(None) if self._connections is None else self._connections.close()
