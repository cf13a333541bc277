"""Writes pidfiles of hooks, by which a later agent finds their process groups.

The pidfile is written before the hook begins. It holds the time at which the process was started,
because process ids are used again. Hooks also have the id of their group in their environment, in
case no file could be written. ``sudo`` and ``env -i`` remove it.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twisted.logger import Logger

from upparat.job import Hook
from upparat.linux import BOOT_ID, read_boot_id

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
    are ignored. A file that cannot be written is logged.
    """

    log = Logger()

    def __init__(self, directory: Path, proc: Path = PROC, boot_id: Path = BOOT_ID) -> None:
        self._directory = directory
        self._proc = proc
        self._boot_id = read_boot_id(boot_id)

    def write(self, hook: Hook, pid: int) -> None:
        """Note the process that is about to run the hook."""
        try:
            started = _Stat(self._proc / str(pid)).started
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._path(hook).write_text(f"{pid} {started} {self._boot_id}\n")
        except OSError as error:
            self.log.warn(
                "The {hook} hook has no pidfile: {error}", hook=hook.value, error=str(error)
            )

    def remove(self, hook: Hook) -> None:
        """Remove the pidfile of a hook that has ended."""
        if self._path(hook).exists():
            with suppress(OSError):
                self._path(hook).unlink()

    def read(self) -> set[PidfileEntry]:
        """Return the hooks that began in this boot and whose end no agent has seen."""
        return {entry for hook in Hook for entry in self._read(hook)}

    def _read(self, hook: Hook) -> Iterator[PidfileEntry]:
        with suppress(OSError, ValueError):
            pid, started, *boot_id = self._path(hook).read_text().split()
            if boot_id == self._boot_id.split():
                yield PidfileEntry(int(pid), hook, int(started))

    def _path(self, hook: Hook) -> Path:
        return self._directory / f"{hook.value}.pid"


def find_groups(agent: str, entries: Collection[PidfileEntry], proc: Path = PROC) -> set[HookGroup]:
    """Return the live process groups of this agent's hooks, without the agent's own group.

    A group with a pidfile lives while any of its processes does. A group without one is found by
    the environment, and lives while its first process does: other processes may be the device's
    application, which an ended hook left in the background. A daemon that a hook started in a
    session of its own is not in the group.
    """
    known = {each.number: each.hook for each in entries if not _replaced(each, proc)}
    found = {group for process in proc.glob("[0-9]*") for group in _groups(process, known, agent)}
    return {group for group in found if group.number != os.getpgrp()}


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


def _replaced(entry: PidfileEntry, proc: Path) -> bool:
    """Whether another process has the process id now."""
    try:
        return _Stat(proc / str(entry.number)).started != entry.started
    except OSError:
        return False


def _groups(process: Path, known: dict[int, Hook], agent: str) -> Iterator[HookGroup]:
    with suppress(OSError):  # it has ended, or belongs to another user
        stat = _Stat(process)
        if stat.alive and stat.group in known:
            yield HookGroup(stat.group, known[stat.group])
        elif stat.alive and process.name == str(stat.group):
            yield from _marked(process, agent)


def _marked(leader: Path, agent: str) -> Iterator[HookGroup]:
    variables = (leader / "environ").read_bytes().split(b"\0")
    facts = dict(each.partition(b"=")[::2] for each in variables)
    mine = facts.get(AGENT.encode()) == os.fsencode(agent)
    with suppress(ValueError, KeyError):
        if mine and facts[GROUP.encode()] == leader.name.encode():
            yield HookGroup(int(leader.name), Hook(facts[HOOK.encode()].decode()))
