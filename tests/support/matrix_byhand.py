"""The fault matrix of an install by hand: what becomes of it when this fault hits it in that state.

``tests/e2e/test_fault_matrix_byhand.py`` plays each cell.
"""

from __future__ import annotations

from dataclasses import replace

from .matrix import MATRIX, OK, STATES, UNDONE, Cell, ends, written

PHASES = STATES[3:]
"""The states of the agent that has an install in hand."""

_WAITED_FOR = Cell(OK.end, "the medium is waited for, up to two minutes")
_COPIED = Cell(OK.end, "nothing changes: the file is copied")

_NEEDLESS = "goes on: nothing is reported"


def _as_a_job(fault: str, **changes: Cell) -> dict[str, Cell]:
    """The cells of a job, which the real agent plays for an install as well."""
    cells = {state: replace(MATRIX[fault][state], test="") for state in PHASES}
    return {**cells, **changes}


BY_HAND: dict[str, dict[str, Cell]] = {
    "network cut": {
        **dict.fromkeys(PHASES, Cell(OK.end, _NEEDLESS)),
        **ends("waits on", _NEEDLESS, _NEEDLESS),
    },
    "medium removed": {
        **dict.fromkeys(PHASES, _COPIED),
        "verify_job": _WAITED_FOR,
        "download": _WAITED_FOR,
        "rollback": replace(_COPIED, end=UNDONE),
    },
    "hook hang": {**_as_a_job("hook hang"), "hold": MATRIX["hook hang"]["hold"]},
    "hook crash": {**_as_a_job("hook crash"), "hold": MATRIX["hook crash"]["hold"]},
    "disk full": {state: MATRIX["disk full"][state] for state in PHASES},
    "agent stop": _as_a_job("agent stop", download=Cell(OK.end, "the file is copied anew")),
    "agent kill": _as_a_job("agent kill", download=Cell(OK.end, "the file is copied anew")),
    "reboot": _as_a_job(
        "reboot",
        download=Cell(OK.end, "the file is copied anew"),
        cleanup=Cell("complete_ready", "verified again, and the hook runs again"),
    ),
}

INTRODUCTION = """\

## An install by hand

The same for an [install by hand](offline.md). AWS knows nothing of it, so what AWS does is no fault
here. The states before `verify_job` have no install in hand.

- *Medium removed*: the file is gone. It comes back when the agent waits for it.
- *Agent stop*, *agent kill* and *reboot* hit `upparat install` where no agent runs. Then an agent
  is started, and goes on.

`tests/e2e/test_fault_matrix_byhand.py` plays each cell.

"""


def table() -> str:
    """The matrix in Markdown."""
    return INTRODUCTION + written(BY_HAND, PHASES)
