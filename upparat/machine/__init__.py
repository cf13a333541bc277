"""The life of a job, as an Automat machine: it decides, the ports act.

Public inputs are facts that the ports tell. A fact that needs a decision feeds a private input
(they start with ``_``), which carries what the next state works on. Entering a state starts its
work; the state's data is what that work is about. Nothing here does I/O.

``model`` says what the machine is made of, ``life`` is the table, ``ignored`` completes it.
"""

from __future__ import annotations

from collections.abc import Callable

from .guard import Guard
from .ignored import IGNORED
from .life import builder
from .model import Core, Inputs, Policy

machine = builder.build()
"""Makes a machine of a :class:`Core`; the result takes :class:`Inputs`."""


def make_machine(core: Core, moved: Callable[[str, str, str], None] | None = None) -> Inputs:
    """A machine in its first state.

    :param moved: is told the old state, the input and the new state of every change of state.
    """
    made = machine(core)

    def trace(old: str, name: str, new: str) -> None:
        if moved is not None and old != new:
            moved(old, name, new)

    _trace(made, trace)
    return made


def _trace(made: Inputs, tracer: Callable[[str, str, str], None]) -> None:
    """Automat has no public way to trace a typed machine (25.4)."""

    def trace(old: object, name: str, new: object) -> None:
        tracer(getattr(old, "name", str(old)), name, getattr(new, "name", str(new)))

    made.__automat_transitioner__.setTrace(trace)  # type: ignore[attr-defined]


__all__ = ["IGNORED", "Core", "Guard", "Inputs", "Policy", "machine", "make_machine"]
