"""Makes the launcher: a few lines of Python that run before a command.

Why a launcher: ``spawnProcess`` starts most children with ``posix_spawn`` and has no argument for
a new session or process group. Afterwards the parent's ``setpgid`` is refused with ``EACCES``,
because the child has already called ``exec``. util-linux's ``setsid`` may be missing on a device,
and would let the shell run a file without ``#!``. The launcher takes about 20 ms, calls ``setsid``
and then ``exec``. It also reports the exact error of a failed ``exec``, on a pipe that a successful
``exec`` closes.

Why a guard: a file that is streamed to stdin is verified only after its last byte. The end of stdin
then says to the command that the file is good. But stdin also ends when the agent is killed. So a
second process, outside the command's group, keeps the pipe open until the agent releases it. If the
agent dies first, the guard kills the group, and keeps the pipe open while any process can read it.

Why a drain: a restart hook goes on when it has stopped the agent, and may print more. Without a
reader, SIGPIPE would kill it. If the hook ignored the signal, its pipelines would never end. So a
second process reads on in place of the agent.
"""

from __future__ import annotations

import os
import sys

GROUP = "UPPARAT_GROUP"
"""The environment variable with the number of the process group that a command was started in."""

REPORT_FD = 3
"""Where the launcher writes :data:`LAUNCHED`, and then the ``errno`` of an ``exec`` that failed."""

GUARD_FD = 4
"""Where the guard or the drain reads :data:`RELEASE`."""

LAUNCHED = b"+"
GO = b"\n"
RELEASE = b"."

_BEGIN = f"""
import os, sys
import _signal as signal  # signal makes enums, which takes as long as all the rest
os.set_inheritable({REPORT_FD}, False)
# Python ignores both, and exec hands that on.
signal.signal(signal.SIGPIPE, signal.SIG_DFL)
signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
os.setsid()
os.environ[{GROUP!r}] = str(os.getpid())
os.write({REPORT_FD}, {LAUNCHED!r})
if not os.read(0, 1):
    sys.exit()  # the agent has died before it could note that this command runs
"""

# The second process is no child of the command, which would not expect one.
_SECOND = f"""
import select
def second(work, *arguments):
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        os.close({GUARD_FD})
        return
    os.setsid()
    if os.fork():
        os._exit(0)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    for descriptor in (0, 1, 2, {REPORT_FD}):
        os.close(descriptor)
    if os.read({GUARD_FD}, 1) != {RELEASE!r}:
        work(*arguments)
    os._exit(0)
def proc(descriptor, flags):
    return os.open("/proc/self/fd/" + str(descriptor), flags)
"""

_GUARD = (
    _SECOND
    + """
def guard(group, pipe):
    readers = select.poll()
    readers.register(pipe, 0)  # tells when there is none
    if not readers.poll(0):
        try:
            os.killpg(group, signal.SIGKILL)
        except OSError:
            pass
        readers.poll()
pipe = proc(0, os.O_WRONLY)
second(guard, os.getpid(), pipe)
os.close(pipe)
"""
)

_DRAIN = (
    _SECOND
    + f"""
def drain(pipes):
    readers = select.poll()
    for pipe in pipes:
        readers.register(pipe, select.POLLIN)
    while pipes:
        for pipe, _ in readers.poll():
            if not os.read(pipe, 65536):
                readers.unregister(pipe)
                pipes.remove(pipe)
try:
    pipes = [proc(1, os.O_RDONLY), proc(2, os.O_RDONLY)]
except OSError:
    signal.signal(signal.SIGPIPE, signal.SIG_IGN)
    os.close({GUARD_FD})
else:
    second(drain, pipes)
    for pipe in pipes:
        os.close(pipe)
"""
)

_EXEC = f"""
try:
    os.execv(sys.argv[1], sys.argv[1:])
except OSError as error:
    os.write({REPORT_FD}, str(error.errno).encode())
"""


def launcher(*, guarded: bool = False, drained: bool = False) -> list[bytes]:
    """Return the arguments that start the launcher, to be put before a command line.

    :param guarded: start a guard of stdin, which must be a pipe.
    :param drained: start a drain of stdout and stderr, which must be pipes.
    """
    text = _BEGIN + (_GUARD if guarded else _DRAIN if drained else "") + _EXEC
    return [os.fsencode(sys.executable), b"-I", b"-S", b"-c", text.encode()]
