"""Runs a command that the kernel kills when its parent dies, even by SIGKILL. Linux only.

``python -m upparat.local.die_with_parent PARENT_PID COMMAND [ARGUMENT…]`` becomes the command,
with the same process id.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from collections.abc import Sequence

_PR_SET_PDEATHSIG = 1


def dying_with_parent(command: Sequence[str]) -> list[str]:
    """Return a command line that runs ``command`` until this process ends, at the latest."""
    return [sys.executable, "-m", "upparat.local.die_with_parent", str(os.getpid()), *command]


def main(argv: Sequence[str]) -> None:
    parent, *command = argv
    # prctl(2): the setting survives an exec, but not a fork.
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(parent):
        raise SystemExit("the parent is gone already")
    os.execv(command[0], command)  # noqa: S606


if __name__ == "__main__":
    main(sys.argv[1:])
