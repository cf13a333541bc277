"""Keeps an error of the machine away from the ports, and remembers it."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.logger import Logger

from .model import Inputs


class Guard:
    """Passes inputs on to a machine, until the machine raises.

    A machine that has raised may have done half of a step, so it takes no more inputs. The next
    start of the agent goes on from the record.

    :param broke: called once, when the machine has raised.
    """

    log = Logger(namespace="upparat.machine")

    def __init__(self, machine: Inputs, broke: Callable[[], None] = lambda: None) -> None:
        self._machine = machine
        self._broke = broke
        self.broken = False

    @property
    def inputs(self) -> Inputs:
        """The machine as the ports see it."""
        return cast("Inputs", self)

    def __getattr__(self, name: str) -> Callable[..., None]:
        tell = getattr(self._machine, name)

        def take(*details: object) -> None:
            if self.broken:
                return
            try:
                tell(*details)
            except Exception:
                self.broken = True
                self.log.failure(
                    "The machine is broken, which ends the work; it was told {fact}", fact=name
                )
                self._broke()

        return take
