"""Who is at the other end of the control socket, as the kernel says."""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple

from twisted.internet.interfaces import ITransport

_CREDENTIALS = struct.Struct("3i")


class Credentials(NamedTuple):
    """The process that has connected. Nobody can forge them (``SO_PEERCRED``, unix(7))."""

    pid: int
    uid: int
    gid: int


def credentials(transport: ITransport) -> Credentials:
    """Return who is at the other end of a UNIX socket.

    :raises OSError: if the socket is closed already.
    """
    ours: socket.socket = transport.socket  # type: ignore[attr-defined]
    size = _CREDENTIALS.size
    return Credentials(
        *_CREDENTIALS.unpack(ours.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, size))
    )
