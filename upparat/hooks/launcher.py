"""What runs between the fork of a child and its command: a few lines of Python.

Why a launcher: ``spawnProcess`` starts most children with ``posix_spawn`` and has no argument for
a new session or process group; afterwards the parent's ``setpgid`` is refused with ``EACCES``,
since the child has already called ``exec``. util-linux's ``setsid`` may be missing on a device and
would run a file without ``#!`` by the shell. So a few lines of Python, about 20 ms of them, call
``setsid`` and then ``exec`` the command in place. They also tell the exact error of an ``exec``
that failed, on a pipe that a successful one closes.

Why a guard: a file that is streamed to a command's stdin is not verified before its last byte, and
the end of stdin is how the command learns the verdict. But the end comes as well when the agent is
killed. So a second process, out of the command's group, keeps the pipe open until the agent says
that all is well. If the agent goes without a word, the guard kills the group, and keeps the pipe
open for as long as anybody could still read from it.
"""

from __future__ import annotations

import os
import sys

GROUP = "UPPARAT_GROUP"
"""The environment variable with the number of the process group that a command was started in."""

REPORT_FD = 3
"""Where the launcher writes :data:`LAUNCHED`, and then the ``errno`` of an ``exec`` that failed."""

GUARD_FD = 4
"""Where the guard reads :data:`RELEASE`."""

LAUNCHED = b"+"
GO = b"\n"
RELEASE = b"."

_BEGIN = f"""
import os, signal, sys
os.set_inheritable({REPORT_FD}, False)
# Python ignores both, and exec hands that on.
signal.signal(signal.SIGPIPE, getattr(signal, sys.argv[1]))
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.setsid()
os.environ[{GROUP!r}] = str(os.getpid())
os.write({REPORT_FD}, {LAUNCHED!r})
if not os.read(0, 1):
    sys.exit()  # the agent has died before it could note that this command runs
"""

# The guard is nobody's child, so that the command has no child that it knows nothing of.
_GUARD = f"""
import select
def guard(group, pipe):
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in (0, 1, 2, {REPORT_FD}):
        os.close(descriptor)
    if os.read({GUARD_FD}, 1) != {RELEASE!r}:
        readers = select.poll()
        readers.register(pipe, 0)  # tells when there is none
        if not readers.poll(0):
            try:
                os.killpg(group, signal.SIGKILL)
            except OSError:
                pass
            readers.poll()
    os._exit(0)
pipe = os.open("/proc/self/fd/0", os.O_WRONLY)
leader, child = os.getpid(), os.fork()
if not child:
    guard(leader, pipe)
os.waitpid(child, 0)
os.close(pipe)
os.close({GUARD_FD})
"""

_EXEC = f"""
try:
    os.execv(sys.argv[2], sys.argv[2:])
except OSError as error:
    os.write({REPORT_FD}, str(error.errno).encode())
"""


def launcher(*, sigpipe: str, guarded: bool = False) -> list[bytes]:
    """What to put before a command line.

    :param sigpipe: what the command does with SIGPIPE, as :mod:`signal` calls it.
    :param guarded: with a guard of its stdin, which must be a pipe.
    """
    text = _BEGIN + (_GUARD if guarded else "") + _EXEC
    python = os.fsencode(sys.executable)
    return [python, b"-I", b"-S", b"-c", text.encode(), sigpipe.encode()]
