"""The directory for files that live as long as the device is up: the default of the control socket.

The agent and the commands that ask it share this module, so it imports little.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

SYSTEM_SOCKET = Path("/run/upparat/control.sock")
"""The default of an agent that runs as root."""

OFF = "off"
"""The value of ``[control] socket`` that switches the socket off."""

MAX_PATH = 107
"""The longest path of a UNIX socket on Linux, in bytes."""


def default_socket(environ: Mapping[str, str] = os.environ) -> Path | None:
    """The control socket: the system's for root, the user's for others (XDG Base Directory
    Specification); ``None`` for a user who has no such directory."""
    if os.geteuid() == 0:
        return SYSTEM_SOCKET
    base = environ.get("XDG_RUNTIME_DIR", "")
    return Path(base, "upparat", "control.sock") if os.path.isabs(base) else None


def socket_path(text: str) -> Path | None:
    """The path that an option names; ``None`` if the socket is off.

    :raises ValueError: if no socket can have this path.
    """
    if text.lower() == OFF:
        return None
    path = Path(os.path.abspath(text))
    if "\0" in text:
        raise ValueError("holds a NUL character")
    if len(os.fsencode(path)) > MAX_PATH:
        raise ValueError(f"{path} is longer than {MAX_PATH} bytes")
    return path
