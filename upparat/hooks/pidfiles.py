"""Writes pidfiles of hooks, by which a later agent finds their process groups.

The pidfile is written before the hook begins. It holds the time at which the process was started,
because process ids are used again. The environment of a process proves nothing, because any user
can start a process with that of a hook. Only an install hook is also found by its environment,
among the processes of the agent's own user: the disk may have been too full for its pidfile, and
two installers at the same time break a device.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from upparat.job import Hook
from upparat.linux import BOOT_ID, read_boot_id
from upparat.private import PrivateDirectory

from .launcher import GROUP

AGENT = "UPPARAT_AGENT"
"""The environment variable with the state directory of the hook's agent."""

HOOK = "UPPARAT_HOOK"
"""The environment variable with the hook's name."""

PROC = Path("/proc")


@dataclass(frozen=True)
class HookGroup:
    """A process group that a hook was started in."""

    number: int
    hook: Hook


@dataclass(frozen=True)
class PidfileEntry:
    """A hook's first process; ``started`` is in clock ticks since the boot."""

    number: int
    hook: Hook
    started: int


class Pidfiles:
    """One file for each hook in ``directory`` while the hook runs.

    The files are not synced, because a power cut ends the hooks as well. Files of another boot
    are ignored, and files that others could have written.
    """

    def __init__(self, directory: Path, proc: Path = PROC, boot_id: Path = BOOT_ID) -> None:
        self._directory = PrivateDirectory(directory)
        self._proc = proc
        self._boot_id = read_boot_id(boot_id)

    def write(self, hook: Hook, pid: int) -> None:
        """Note the process that is about to run the hook. A process that has ended needs no file.

        :raises OSError: if the file cannot be written.
        """
        try:
            started = _Stat(self._proc / str(pid)).started
        except OSError:
            return
        self._directory.write(_name(hook), f"{pid} {started} {self._boot_id}\n".encode())

    def remove(self, hook: Hook) -> None:
        """Remove the pidfile of a hook that has ended."""
        with suppress(OSError):
            self._directory.remove(_name(hook))

    def read(self) -> set[PidfileEntry]:
        """Return the hooks that began in this boot and whose end no agent has seen."""
        entries = {entry for hook in Hook for entry in self._read(hook)}
        return entries | find_installers(str(self._directory.path), self._proc)

    def _read(self, hook: Hook) -> Iterator[PidfileEntry]:
        with suppress(OSError, ValueError):
            pid, started, *boot_id = self._directory.read(_name(hook)).decode().split()
            if boot_id == self._boot_id.split():
                yield PidfileEntry(int(pid), hook, int(started))


def find_installers(agent: str, proc: Path = PROC) -> set[PidfileEntry]:
    """Return the first processes of the agent's install and rollback hooks by their environment.

    Only processes that are all the agent's user's: ``sudo`` and programs with set-user-id are not.
    """
    return {entry for process in proc.glob("[0-9]*") for entry in _installers(process, agent)}


def _installers(process: Path, agent: str) -> Iterator[PidfileEntry]:
    with suppress(OSError, ValueError):  # it has ended, or is another user's
        marks = {AGENT: agent, GROUP: process.name}
        variables = set((process / "environ").read_bytes().split(b"\0"))
        if not variables >= {os.fsencode(f"{name}={mark}") for name, mark in marks.items()}:
            return
        stat = _Stat(process)
        if process.name == str(stat.group) and set(_user_ids(process)) == {os.geteuid()}:
            for hook in Hook:
                if hook.writes and os.fsencode(f"{HOOK}={hook.value}") in variables:
                    yield PidfileEntry(stat.group, hook, stat.started)


def _name(hook: Hook) -> str:
    return f"{hook.value}.pid"


def find_groups(entries: Collection[PidfileEntry], proc: Path = PROC) -> set[HookGroup]:
    """Return the process groups of these hooks that still live.

    A hook runs while the process of its pidfile does. Of an installation that has lost this process
    the others of the group count as well, because they may write to a slot. Of other hooks they are
    what those have started, like the device's application. A daemon that a hook started in a
    session of its own is not in the group.
    """
    found, headless = set(), {}
    for entry in entries:
        group = HookGroup(entry.number, entry.hook)
        leader = _stat(proc / str(entry.number))
        if leader is None or not leader.alive:
            if entry.hook.writes:
                headless[entry.number] = group
        elif leader.started == entry.started:
            found.add(group)
    if headless:
        found |= {headless[number] for number in _groups_of_ours(proc) & headless.keys()}
    return found


class _Stat:
    """Fields of ``/proc/PID/stat``; see proc_pid_stat(5).

    :raises OSError: the process has ended.
    """

    def __init__(self, process: Path) -> None:
        # The name of the program, in brackets, can hold anything.
        fields = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        self.alive = fields[0] not in "ZX"
        self.group = int(fields[2])
        self.started = int(fields[19])


def _stat(process: Path) -> _Stat | None:
    try:
        return _Stat(process)
    except OSError:
        return None


def _groups_of_ours(proc: Path) -> set[int]:
    """The groups of the living processes that the agent's user has started, or root (``sudo``).

    Another user could start a group of the same number, once the hook's has ended.
    """
    stats = (_stat(process) for process in proc.glob("[0-9]*") if _ours(process))
    return {stat.group for stat in stats if stat is not None and stat.alive}


def _ours(process: Path) -> bool:
    """Whether the real user is the agent's, or root."""
    real = _user_ids(process)[:1]
    return real in ([0], [os.geteuid()])


def _user_ids(process: Path) -> list[int]:
    """The real, effective, saved and file-system user id of a process: see proc_pid_status(5)."""
    with suppress(OSError):
        for line in (process / "status").read_text(errors="replace").splitlines():
            if line.startswith("Uid:"):
                return list(map(int, line.split()[1:]))
    return []
