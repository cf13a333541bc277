"""The life of a job, as an Automat machine: it decides, the ports act.

Public inputs are events of the ports. An event that needs a decision feeds a private input (its
name starts with ``_``), which carries the data of the next state. Entering a state starts its work.
Nothing here does I/O.

``model`` has the data of the machine, ``states`` the work that starts with each state. The table
has a module for each part of a job's life: ``selecting``, ``fetching``, ``installing``,
``checking``, ``holding``, ``undoing`` and ``ending``. ``ignored`` completes it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from . import checking, ending, fetching, holding, installing, selecting, undoing
from .guard import Guard
from .ignored import IGNORED, Door
from .model import Core, Inputs, Policy
from .states import builder

PARTS = (selecting, fetching, installing, checking, holding, undoing, ending)
"""The modules that fill the table when they are imported."""

STATES = tuple(IGNORED)
"""The names of all states."""

machine = builder.build()
"""Makes a machine from a :class:`Core`; the result takes :class:`Inputs`."""


def make_machine(core: Core, moved: Callable[[str, str, str], None] | None = None) -> Inputs:
    """Make a machine in its first state.

    :param moved: called with the old state, the input and the new state at every change of state.
    """
    made = machine(core)
    door = Door(made)

    def trace(old: object, name: str, new: object) -> None:
        before, door.state = door.state, getattr(new, "name", str(new))
        if moved is not None and before != door.state:
            moved(before, name, door.state)

    # Automat 25.4 has no public way to trace a typed machine.
    made.__automat_transitioner__.setTrace(trace)  # type: ignore[attr-defined]
    return cast("Inputs", door)


__all__ = ["IGNORED", "STATES", "Core", "Guard", "Inputs", "Policy", "machine", "make_machine"]
