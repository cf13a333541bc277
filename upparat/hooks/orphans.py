"""Waits for hooks, or ends them, that an earlier agent left running when it was killed.

Two installers at the same time break a device, so a new agent waits for an install hook to end. It
also lets a restart hook run, because that hook may have restarted the agent and may wait for it.
Meanwhile the agent installs nothing and starts no other restart. It ends all other hooks, because
nobody needs their results.
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
"""Seconds between two checks."""


class Orphans:
    """Watches the hooks of an earlier agent with the same state directory.

    Ignores processes that a restart hook left in the background before it ended.

    :param timeouts: seconds that each hook may run, counted from the start of this agent.
    """

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        timeouts: Mapping[Hook, float],
        pidfiles: Pidfiles,
        *,
        find: Callable[[Collection[PidfileEntry]], set[HookGroup]] = find_groups,
        killpg: Callable[[int, int], None] = os.killpg,
    ) -> None:
        self._clock = clock
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
        """Find the hooks that are left. Fires when none of them but a restart hook still runs."""
        now = self._clock.seconds()
        for hook in Hook:
            self._deadlines[hook] = now + (self._timeouts[hook] if hook.must_finish else 0)
        self._entries = self._pidfiles.read()
        self._left = self._find(self._entries)
        for group in self._left:
            self.log.warn(
                "The {hook} hook of an agent that was killed still runs (process group {group})",
                hook=group.hook.value,
                group=group.number,
            )
        self._look()
        return self._when_gone(*(hook for hook in Hook if hook is not Hook.RESTART))

    def gone(self) -> Deferred[None]:
        """Fire when none of them runs; can be cancelled."""
        return self._when_gone(*Hook)

    def lingers(self, hook: Hook) -> bool:
        """Whether this hook of an earlier agent still runs."""
        return any(group.hook is hook for group in self._left)

    def forget(self, hook: Hook) -> None:
        """Leave what this hook of an earlier agent has started alone: its job is over."""
        self._left = {group for group in self._left if group.hook is not hook}
        self._look()

    def stop(self) -> None:
        """Stop checking. The next agent deals with hooks that still run."""
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
            self._left &= self._find(self._entries)
        for group in list(self._left):
            self._end_if_late(group)
        self._tidy()
        if self._left:
            self._poll.start(POLL, self._look)
        self._tell()

    def _tidy(self) -> None:
        """Remove the pidfiles of ended hooks, each once: the next file is this agent's own."""
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
        """Give up on a hook that hangs in the kernel or is another user's. Keep its pidfile."""
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
