"""The reactor that the control needs; a module of its own, because others name it as well."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime, IReactorUNIX


class ControlReactor(IReactorTime, IReactorUNIX):
    """The interfaces of the reactor that the control needs."""
