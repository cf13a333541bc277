"""The socket file: makes it, replaces the one of a dead agent, and removes it at the end."""

from __future__ import annotations

import errno
import grp
import os
import socket
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from twisted.internet.defer import Deferred, maybeDeferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IAddress, IListeningPort, IReactorUNIX
from twisted.internet.protocol import Factory, Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat.config.settings import ControlSettings

BACKLOG = 50


class InUse(OSError):
    """The socket belongs to somebody else."""


class ControlFactory(Factory):
    """Makes the protocol of each client.

    :param make: makes one.
    """

    log = Logger()
    noisy = False

    def __init__(self, make: Callable[[], Protocol]) -> None:
        self._make = make

    def buildProtocol(self, addr: IAddress | None) -> Protocol | None:
        try:
            return self._make()
        except Exception:
            self.log.failure("The control socket cannot serve a client")
            return None


class ControlListener:
    """Listens on the control socket. A failure is one line in the log, and harms nothing else.

    The directory of the socket file is made if it is missing.

    :param make: makes the protocol of a client.
    """

    log = Logger()

    def __init__(
        self, reactor: IReactorUNIX, settings: ControlSettings, make: Callable[[], Protocol]
    ) -> None:
        self._reactor = reactor
        self._factory = ControlFactory(make)
        self._path = settings.socket
        self._mode = int(settings.mode, 8)
        self._group = settings.group
        self._port: IListeningPort | None = None

    def start(self) -> None:
        """Listen, if the socket is on."""
        if self._path is None:
            return
        try:
            self._listen(self._path)
        except (OSError, CannotListenError) as error:
            reason = error.socketError if isinstance(error, CannotListenError) else error
            self.log.error(
                "The control socket is off: {path}: {reason}",
                path=str(self._path),
                reason=getattr(reason, "strerror", None) or str(reason),
            )
        except Exception:
            self.log.failure("The control socket is off: {path}", path=str(self._path))

    def stop(self) -> Deferred[None]:
        """Take no more clients, and remove the socket file."""
        port, self._port = self._port, None
        if port is None:
            return succeed(None)
        stopped: Deferred[None] = Deferred()
        stopped.addErrback(self._not_stopped)
        maybeDeferred(port.stopListening).chainDeferred(stopped)  # type: ignore[arg-type]
        return stopped

    def _not_stopped(self, failure: Failure) -> None:
        if not failure.check(FileNotFoundError):  # somebody has removed it before
            self.log.failure("The control socket cannot be closed", failure)

    def _listen(self, path: Path) -> None:
        _make_directory(path.parent)
        remove_stale(path)
        self._port = self._reactor.listenUNIX(str(path), self._factory, BACKLOG, self._mode)
        if self._group is not None:
            self._give_to_group(path, self._group)

    def _give_to_group(self, path: Path, group: str) -> None:
        try:
            os.chown(path, -1, grp.getgrnam(group).gr_gid)
        except (OSError, KeyError) as error:
            self.log.error(
                "{path} cannot be given to the group {group}: {error}",
                path=str(path),
                group=group,
                error=str(error),
            )


def _make_directory(directory: Path) -> None:
    """Make the directory, in which others may look for the socket whatever the umask is."""
    with suppress(FileExistsError):
        directory.mkdir(parents=True)
        directory.chmod(0o755)


def remove_stale(path: Path) -> None:
    """Remove the socket of an agent that is dead.

    :raises InUse: if somebody listens there, or it is no socket.
    """
    try:
        found = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise InUse(errno.EEXIST, "is there already, and is no socket")
    if _listens(path):
        raise InUse(errno.EADDRINUSE, "another process listens there")
    path.unlink(missing_ok=True)


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        client.setblocking(False)
        try:
            client.connect(str(path))
        except ConnectionRefusedError:
            return False
        except BlockingIOError:  # its queue of clients is full
            return True
    return True
