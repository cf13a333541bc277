"""The fault matrix: what becomes of an update when this fault hits it in that state.

``docs/faults.md`` is made of it (``python -m tests.support.matrix``), and
``tests/e2e/test_fault_matrix.py`` plays each cell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

DOCS = Path(__file__).parent.parent.parent / "docs" / "faults.md"

STATES = (
    "fetch_jobs",
    "monitor",
    "select_job",
    "verify_job",
    "download",
    "install",
    "restart",
    "verify_installation",
    "hold",
    "rollback",
    "cleanup",
)
WORKING = STATES[3:8]
"""The states of an update that waits for nobody and ends well."""


@dataclass(frozen=True)
class Cell:
    """``end``: the state in which the job ends; empty if AWS has ended it. ``said``: in words.

    ``installs``: how often the install hook runs; ``None`` if that depends.
    """

    end: str
    said: str
    installs: int | None = 1
    test: str = ""


OK = Cell("complete_soft_restart", "goes on")
LATER = Cell("complete_soft_restart", "is done when the fault is over")
GONE = Cell("", "nothing follows; the next job runs", installs=0)
RESUMED = Cell("complete_soft_restart", "the download is resumed")
OVER = Cell("complete_soft_restart", "begins anew with the next start")
AGAIN = Cell("complete_soft_restart", "the hook runs again with the next start", installs=2)
NO_HOOK = Cell("", "no hook runs", test="test_ignored.py::TableTests")
NO_FILE = Cell("", "nothing is downloaded; the record: see download", test="test_full_disk.py")
NO_JOB = Cell("", "there is no job", test="test_ignored.py::TableTests")
OVER_ALREADY = Cell("", "the job is over already", test="test_ignored.py::TableTests")
UNDONE = "restart_hook_failed"


def failed(hook: str, installs: int) -> Cell:
    return Cell(f"{hook}_hook_failed", f"{hook}_hook_failed", installs)


def ends(hold: str, rollback: str, cleanup: str) -> dict[str, Cell]:
    """The cells of three states, in which the fault changes nothing about the end."""
    return {
        "hold": Cell(OK.end, hold),
        "rollback": Cell(UNDONE, rollback),
        "cleanup": Cell(OK.end, cleanup),
    }


MATRIX: dict[str, dict[str, Cell]] = {
    "network cut": {
        "monitor": LATER,
        "fetch_jobs": Cell(OK.end, "asks again"),
        "select_job": Cell(OK.end, "asks again"),
        "verify_job": OK,
        "download": Cell(OK.end, "the download goes on; reports follow"),
        "install": Cell(OK.end, "the hook goes on; reports follow"),
        "restart": Cell(OK.end, "the hook goes on; the end is reported later"),
        "verify_installation": Cell(OK.end, "the end is reported later"),
        **ends("waits on", "the hook goes on; the end is reported later", "the hook goes on"),
    },
    "broker restart": {
        "monitor": LATER,
        "fetch_jobs": Cell(OK.end, "subscribes and asks again"),
        "select_job": Cell(OK.end, "subscribes and asks again"),
        **dict.fromkeys(WORKING, OK),
        **ends("waits on", "goes on", "goes on"),
    },
    "AWS throttles": {
        **{state: Cell(OK.end, "asks or reports again") for state in STATES},
        **ends(*["asks or reports again"] * 3),
    },
    "cancel": {
        "fetch_jobs": GONE,
        "monitor": NO_JOB,
        "select_job": GONE,
        "verify_job": Cell("", "the hook is ended; the next job runs", 0),
        "download": Cell("", "stopped, the file is removed; the next job runs", 0),
        "install": Cell("", "the hook is left to finish; the next job runs"),
        "restart": Cell("", "the hook is left to finish; the next job runs"),
        "verify_installation": Cell("", "the hook is ended; the next job runs"),
        "hold": GONE,
        "rollback": Cell("", "the rollback goes on, and nobody hears of it; the next job runs"),
        "cleanup": OVER_ALREADY,
    },
    "hook hang": {
        **dict.fromkeys([*STATES[:3], "hold"], NO_HOOK),
        "verify_job": failed("version", 0),
        "download": failed("download", 0),
        "install": Cell("installation_hook_failed", "installation_hook_failed"),
        "restart": failed("restart", 1),
        "verify_installation": failed("ready", 1),
        "rollback": Cell(UNDONE, "the first reason is told, and that the rollback has failed"),
        "cleanup": Cell(OK.end, "it is logged, and the end stays the same"),
    },
    "disk full": {
        **dict.fromkeys(STATES, NO_FILE),
        "download": Cell("", "insufficient_storage", test="test_full_disk.py"),
        "rollback": Cell(
            "",
            "the rollback goes on; a restart that cannot be counted does not run",
            test="test_rollback.py::StartTests",
        ),
    },
    "agent stop": {
        "fetch_jobs": OVER,
        "monitor": LATER,
        "select_job": OVER,
        "verify_job": Cell(OK.end, "the hook is ended, and runs again with the next start"),
        "download": RESUMED,
        "install": Cell(OK.end, "the hook is ended, and runs again with the next start", 2),
        "restart": Cell("complete_ready", "the hook goes on; verified with the next start"),
        "verify_installation": Cell("complete_ready", "verified again with the next start"),
        **ends(
            "waits again with the next start",
            *["the hook is ended, and runs again with the next start"] * 2,
        ),
    },
    "agent kill": {
        "fetch_jobs": OVER,
        "monitor": LATER,
        "select_job": OVER,
        "verify_job": Cell(OK.end, "the hook is ended, and runs again"),
        "download": RESUMED,
        "install": Cell(OK.end, "the hook is waited for, and runs again", 2),
        "restart": Cell(
            "complete_ready", "the hook goes on; if the old version is left, it runs again"
        ),
        "verify_installation": Cell("complete_ready", "verified again"),
        **ends(
            "waits again",
            "the hook is waited for, and runs again",
            "the hook is ended, and runs again",
        ),
    },
    "reboot": {
        "fetch_jobs": OVER,
        "monitor": LATER,
        "select_job": OVER,
        "verify_job": OVER,
        "download": RESUMED,
        "install": AGAIN,
        "restart": Cell(OK.end, "if the old version is left, the hook runs again"),
        "verify_installation": Cell("complete_ready", "verified again"),
        **ends("waits again", *["the hook runs again with the next start"] * 2),
    },
}
MATRIX["AWS is silent"] = MATRIX["AWS throttles"]
MATRIX["delete"] = {
    **MATRIX["cancel"],
    "select_job": Cell("", "the second refusal ends it; there is no restart", installs=None),
}
MATRIX["hook crash"] = MATRIX["hook hang"]

# Played by the tests that kill the agent around each start of a hook and each change of state.
MATRIX["agent kill"] = {
    state: cell if state in ("monitor", "hold") else replace(cell, test="test_crash_points.py")
    for state, cell in MATRIX["agent kill"].items()
}

FAULTS = (
    "network cut",
    "broker restart",
    "AWS throttles",
    "AWS is silent",
    "cancel",
    "delete",
    "hook hang",
    "hook crash",
    "disk full",
    "agent stop",
    "agent kill",
    "reboot",
)

INTRODUCTION = """\
# Faults

The table says what becomes of an update when a fault hits it. A row is a fault. A column is the
state of the agent in which the fault happens.

- *Network cut*: the connection breaks. It comes back when the work of the state has ended.
- *AWS throttles*: AWS refuses the next requests with `RequestThrottled`.
  [jobs.md](jobs.md#what-aws-answers) lists the other codes.
- *AWS is silent*: AWS loses the next request.
- *Cancel* and *delete*: somebody cancels or deletes the job by force.
- *Hook hang*: the running hook does not end within its time-out.
- *Hook crash*: somebody kills the running hook.
- *Agent stop*: the agent gets SIGTERM.
- *Agent kill*: the agent gets SIGKILL. Its hooks live on.
- *Reboot*: the agent and its hooks die at once, as in a power cut. The next start is in another
  boot.

The real agent goes through each cell in `tests/e2e/test_fault_matrix.py`, or in the test that the
cell names in brackets. `tests/e2e/test_networks.py` tests the rejected codes.
`tests/e2e/test_crash_points.py` tests each moment in between, and `make torture` random ones.

`python -m tests.support.matrix` writes this page.

"""


def table() -> str:
    """The matrix in Markdown."""
    return written({fault: MATRIX[fault] for fault in FAULTS}, STATES)


def written(matrix: Mapping[str, Mapping[str, Cell]], states: Sequence[str]) -> str:
    """A matrix in Markdown."""
    lines = [f"| | {' | '.join(states)} |", "|---" * (len(states) + 1) + "|"]
    for fault, row in matrix.items():
        cells = [_written(row[state]) for state in states]
        lines.append(f"| **{fault}** | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _written(cell: Cell) -> str:
    return f"{cell.said} [{cell.test}]" if cell.test else cell.said


def page() -> str:
    """The page of the docs."""
    from . import matrix_byhand

    return INTRODUCTION + table() + matrix_byhand.table()


def main() -> None:
    DOCS.write_text(page(), encoding="utf-8")


if __name__ == "__main__":
    main()
