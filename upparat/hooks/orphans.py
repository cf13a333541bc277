"""Hooks that an earlier agent, which was killed, has left running.

Two installers at work at once break a device, so a new agent waits for the old one's to end. Nobody
waits for what any other hook says: they are ended, but for the restart hook, which may be what has
restarted the agent and waits in turn for it. While that one goes on, nothing is installed and no
other restart begins.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from upparat.job import Hook
from upparat.oneshot import OneShot

from .child import GRACE
from .pidfiles import HookGroup, PidfileEntry, Pidfiles, find_groups

POLL = 0.5
"""Seconds between two looks at what is left."""

_PATIENT = (Hook.INSTALL, Hook.RESTART)
"""Hooks that are left to finish, up to their time-out."""


class Orphans:
    """Watches what an earlier agent with the same state directory has left.

    What a hook has left in the background, and had ended itself, is none of our business.

    :param agent: the state directory.
    :param timeouts: seconds that each hook may run, counted from the start of this agent.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        agent: str,
        timeouts: Mapping[Hook, float],
        pidfiles: Pidfiles,
        *,
        find: Callable[[str, Collection[PidfileEntry]], set[HookGroup]] = find_groups,
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._clock = clock
        self._agent = agent
        self._timeouts = timeouts
        self._pidfiles = pidfiles
        self._find = find
        self._killpg = killpg
        self._deadlines: dict[Hook, float] = {}
        self._entries: set[PidfileEntry] = set()
        self._left: set[HookGroup] = set()
        self._untidy = set(Hook)
        self._ended: set[HookGroup] = set()
        self._waiting: list[tuple[Deferred[None], tuple[Hook, ...]]] = []
        self._poll = OneShot(clock)

    def wait_for_leftovers(self) -> Deferred[None]:
        """Look for them. Fires when none is left, but for a restart hook."""
        now = self._clock.seconds()
        for hook in Hook:
            self._deadlines[hook] = now + (self._timeouts[hook] if hook in _PATIENT else 0)
        self._entries = self._pidfiles.read()
        # Only these: later looks would find this agent's own hooks as well.
        self._left = self._find(self._agent, self._entries)
        for group in self._left:
            self.log.warn(
                "The {hook} hook of an agent that was killed still runs (process group {group})",
                hook=group.hook.value,
                group=group.number,
            )
        self._look()
        return self._when_gone(*(hook for hook in Hook if hook is not Hook.RESTART))

    def gone(self) -> Deferred[None]:
        """Fires when none is left at all; can be cancelled."""
        return self._when_gone(*Hook)

    def lingers(self, hook: Hook) -> bool:
        """Whether this one still runs."""
        return any(group.hook is hook for group in self._left)

    def stop(self) -> None:
        """Look no more; what runs is left to the next agent."""
        self._poll.cancel()
        self._waiting.clear()

    # --- looking ---

    def _when_gone(self, *hooks: Hook) -> Deferred[None]:
        gone: Deferred[None] = Deferred()
        self._waiting.append((gone, hooks))
        self._tell()
        return gone

    def _look(self) -> None:
        self._poll.cancel()
        if self._left:
            self._left &= self._find(self._agent, self._entries)
        for group in list(self._left):
            self._end_if_late(group)
        self._tidy()
        if self._left:
            self._poll.start(POLL, self._look)
        self._tell()

    def _tidy(self) -> None:
        """Remove the pidfiles of what is gone, each only once: the next one is this agent's own."""
        over = {hook for hook in self._untidy if not self.lingers(hook)}
        self._untidy -= over
        for hook in over:
            self._pidfiles.remove(hook)

    def _tell(self) -> None:
        for waiting in list(self._waiting):
            gone, hooks = waiting
            if not any(map(self.lingers, hooks)):
                self._waiting.remove(waiting)
                if not gone.called:
                    gone.callback(None)

    def _end_if_late(self, group: HookGroup) -> None:
        late = self._clock.seconds() - self._deadlines[group.hook]
        if late >= 0 and group not in self._ended:
            self._ended.add(group)
            self._signal(group, signal.SIGTERM)
        elif late >= 2 * GRACE:
            self._give_up(group)
        elif late >= GRACE:
            self._signal(group, signal.SIGKILL)

    def _give_up(self, group: HookGroup) -> None:
        """It sleeps in the kernel for ever, or is somebody else's (``sudo``). Its pidfile stays."""
        self.log.error(
            "The {hook} hook of an agent that was killed cannot be ended (process group {group})",
            hook=group.hook.value,
            group=group.number,
        )
        self._left.discard(group)
        self._untidy.discard(group.hook)

    def _signal(self, group: HookGroup, number: signal.Signals) -> None:
        with suppress(ProcessLookupError, PermissionError):
            self._killpg(group.number, number)
