"""Keeps an error of the machine away from the ports, and remembers that there was one."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from twisted.logger import Logger

from .model import Inputs


class Guard:
    """Stands before a machine.

    A machine that has raised may have done half of what it had to do. Nothing of that is right any
    more, so it takes no more inputs: the next start of the agent goes on from what is recorded.

    :param broke: told once, when the machine has raised.
    """

    log = Logger(namespace="upparat.machine")

    def __init__(self, machine: Inputs, broke: Callable[[], None] = lambda: None) -> None:
        self._machine = machine
        self._broke = broke
        self.broken = False

    @property
    def inputs(self) -> Inputs:
        """What the ports speak to."""
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
