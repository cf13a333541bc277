"""Hooks that an agent which was killed has left running.

Two installers at work at once break a device, so a new agent waits for the old one's to end. Nobody
waits for what any other hook says: they are ended, but for the restart hook, which may be what has
restarted the agent and waits in turn for it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from upparat.job import Hook

from .process import GRACE, GROUP

AGENT = "UPPARAT_AGENT"
"""The environment variable that tells which agent a hook belongs to: its state directory."""

HOOK = "UPPARAT_HOOK"
"""The environment variable with the hook's name."""

POLL = 0.5
"""Seconds between two looks at what is left."""

_PATIENT = (Hook.INSTALL, Hook.RESTART)
"""Hooks that are left to finish, up to their time-out."""


@dataclass(frozen=True)
class Group:
    """A process group that a hook was started in; ``led`` while the hook's first process lives."""

    number: int
    hook: Hook
    led: bool = True


class Orphans:
    """Watches what an earlier agent with the same state directory has left.

    What a hook has left in the background, and had ended itself, is none of our business.

    :param timeouts: seconds that each hook may run, counted from the start of this agent.
    :param unfinished: whether the earlier agent has not seen the end of this hook.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        agent: str,
        timeouts: Mapping[Hook, float],
        *,
        unfinished: Callable[[Hook], bool] = lambda hook: True,
        find: Callable[[str], set[Group]] | None = None,
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._clock = clock
        self._agent = agent
        self._timeouts = timeouts
        self._unfinished = unfinished
        self._find = find or find_groups
        self._killpg = killpg
        self._deadlines: dict[Hook, float] = {}
        self._watched: set[Hook] = set()
        self._ended: set[Group] = set()
        self._settled: Deferred[None] | None = None
        self._poll: IDelayedCall | None = None

    def settle(self) -> Deferred[None]:
        """Fires when nothing is left that the next hook would have to wait for."""
        now = self._clock.seconds()
        for hook in Hook:
            self._deadlines[hook] = now + (self._timeouts[hook] if hook in _PATIENT else 0)
        settled = self._settled = Deferred()
        self._watched = {hook for hook in Hook if self._unfinished(hook)}
        found = self._look()
        for group in found:
            self.log.warn(
                "The {hook} hook of an agent that was killed still runs (process group {group})",
                hook=group.hook.value,
                group=group.number,
            )
        return settled

    def end(self, hook: Hook) -> None:
        """End what is left of this hook: it is about to be run again."""
        self._deadlines[hook] = self._clock.seconds()
        if self._poll is not None:
            self._look()

    def stop(self) -> None:
        """Look no more; what runs is left to the next agent."""
        self._cancel()
        self._settled = None

    # --- looking ---

    def _look(self) -> set[Group]:
        self._cancel()
        found = self._left()
        for group in found:
            self._end_if_late(group)
        if found:
            self._poll = self._clock.callLater(POLL, self._look)
        if all(group.hook is Hook.RESTART for group in found):
            settled, self._settled = self._settled, None
            if settled is not None:
                settled.callback(None)
        return found

    def _left(self) -> set[Group]:
        found = self._find(self._agent)
        led = {group.number for group in found if group.led}
        return {
            Group(group.number, group.hook)
            for group in found
            if group.number in led or group.hook in self._watched
        }

    def _end_if_late(self, group: Group) -> None:
        late = self._clock.seconds() - self._deadlines[group.hook]
        if late >= 0 and group not in self._ended:
            self._ended.add(group)
            self._signal(group, signal.SIGTERM)
        elif late >= GRACE:
            self._signal(group, signal.SIGKILL)

    def _signal(self, group: Group, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            self._killpg(group.number, number)

    def _cancel(self) -> None:
        if self._poll is not None and self._poll.active():
            self._poll.cancel()
        self._poll = None


def find_groups(agent: str, proc: Path = Path("/proc")) -> set[Group]:
    """The groups of hooks of this agent that live, but for the one that we are in ourselves.

    A daemon that a hook has started in a session of its own does not belong to its group.
    """
    return {
        group
        for process in proc.glob("[0-9]*")
        for group in _group(process, agent)
        if group.number != os.getpgrp()
    }


def _group(process: Path, agent: str) -> Iterator[Group]:
    try:
        status = (process / "stat").read_text(errors="replace").rpartition(")")[2].split()
        variables = (process / "environ").read_bytes().split(b"\0")
    except OSError:
        return  # it has ended, or is somebody else's
    facts = dict(each.partition(b"=")[::2] for each in variables)
    state, number = status[0], status[2]
    with suppress(ValueError):
        mine = facts.get(AGENT.encode()) == os.fsencode(agent)
        if mine and state not in "ZX" and facts.get(GROUP.encode()) == number.encode():
            hook = Hook(facts[HOOK.encode()].decode())
            yield Group(int(number), hook, led=process.name == number)
