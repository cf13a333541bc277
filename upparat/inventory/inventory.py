"""The inventory: asks the hooks which package runs, and reports it to the thing's shadow.

The shadow is the reserved named shadow ``$package``, which AWS's Software Package Catalog and the
fleet index read. Nothing here changes what becomes of a job: each failure ends in the log.
"""

from __future__ import annotations

import os
import random as _random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from upparat import __version__
from upparat.config.settings import HookSettings, InventorySettings
from upparat.hooks.call import Call
from upparat.hooks.child import ChildReactor
from upparat.hooks.pidfiles import HOOK, Pidfiles
from upparat.iotjobs.requests import Response
from upparat.job import ExecutionKey, Hook, Job, JobExecution, Status
from upparat.mqtt.session import MqttSession, MqttSessionEvents
from upparat.oneshot import OneShot
from upparat.text import printable

from .package import AGENT, Package, attributes_of, shadow_update, version_of
from .probe import Probe, ProbeEnded, ProbeFailed, ProbeLater
from .shadow import TEMPORARY, Shadow

_UNDECIDED = TEMPORARY | {"NoResponse"}
"""Codes of an update that is made again after the next job, and not only after a new connection."""


class Inventory:
    """Reports the package after each connection and each job, if it has changed.

    Its hooks run only between :meth:`resume` and :meth:`pause`.

    :param free: returns whether no hook of a job runs.
    :param agent: the agent's state directory.
    :param random: returns a number from 0 up to 1, for the jitter of all waits.
    """

    log = Logger()

    def __init__(
        self,
        reactor: ChildReactor,
        session: MqttSession,
        thing_name: str,
        settings: InventorySettings,
        hooks: HookSettings,
        *,
        agent: str,
        free: Callable[[], bool],
        probe: Probe | None = None,
        random: Callable[[], float] = _random.random,
    ) -> None:
        self._settings = settings
        self._hooks = hooks
        self._probe = probe or Probe(reactor, Pidfiles(Path(agent)), hooks.timeouts[Hook.VERSION])
        self._agent = agent
        self._free = free
        self._shadow = Shadow(reactor, session, thing_name, random)
        self._again = OneShot(reactor)
        self._retries = 0
        self._work: Deferred[None] | None = None
        self._calm = self._due = self._closed = False
        self._accepted: Package | None = None
        self._refused: Package | None = None

    # --- the life of jobs ---

    def resume(self) -> None:
        """No job is in hand."""
        self._calm = True
        self._look()

    def pause(self) -> None:
        """A job is in hand, which may change what runs: end the probe, and report after the job."""
        self._calm, self._due = False, True
        self._again.cancel()
        self._probe.end()

    def make_way(self) -> Deferred[None]:
        """Fire when no process of a probe runs, so that a hook of a job may."""
        self.pause()
        return self._probe.end()

    def shut_down(self) -> Deferred[None]:
        """Report nothing any more. Fire when no process of a probe runs."""
        self._closed = True
        self.pause()
        self._shadow.close()
        return self._probe.end()

    # --- MqttSessionEvents ---

    def connected(self) -> None:
        """Remember to report. The list of jobs comes first: see :meth:`resume`."""
        self._shadow.connected()
        self._due = True
        self._refused = None
        self._retries = 0

    def disconnected(self, reason: str) -> None:
        self._shadow.disconnected(reason)

    def received(self, topic: str, payload: bytes) -> None:
        self._shadow.received(topic, payload)

    # --- one report ---

    def _look(self) -> None:
        """Begin a report, if one is due and nothing is in its way."""
        may = self._calm and self._shadow.usable and not self._closed
        if not (self._due and may and self._work is None and self._free()):
            return
        self._due = False
        self._work = Deferred.fromCoroutine(self._report())
        self._work.addErrback(lambda failure: failure.trap(CancelledError) and None)
        self._work.addErrback(self._broken)
        self._work.addCallback(self._worked)

    def _broken(self, failure: Failure) -> None:
        self.log.failure("The inventory has raised", failure)

    def _worked(self, _: None) -> None:
        self._work = None
        self._look()

    async def _report(self) -> None:
        package = await self._gather()
        if package is None or package in (self._accepted, self._refused):
            return
        if self._shadow.usable:
            self._take(package, await self._shadow.update(shadow_update(package, self._accepted)))

    def _take(self, package: Package, response: Response) -> None:
        if response.accepted:
            self._accepted = package
            self.log.info(
                "Reported the package {name} {version}", name=package.name, version=package.version
            )
            return
        if response.code not in _UNDECIDED:
            self._refused = package
        self.log.error(
            "The package is not reported: {code}: {why}",
            code=response.code,
            why=printable(str(response.payload.get("message", ""))),
        )

    async def _gather(self) -> Package | None:
        """Ask the hooks; ``None`` if they give no answer now."""
        try:
            version = version_of(await self._ask(Hook.VERSION, self._version_command))
            attributes = await self._attributes()
        except ProbeEnded:
            return None
        except ProbeLater as later:
            self._ask_later(str(later))
        except (ProbeFailed, ValueError) as problem:
            self.log.warn("The package is not reported: {problem}", problem=str(problem))
        else:
            return Package(self._settings.package, version, {**attributes, AGENT: __version__})
        return None

    @property
    def _version_command(self) -> Sequence[str]:
        return self._hooks.commands[Hook.VERSION]

    async def _attributes(self) -> Mapping[str, str]:
        if not self._settings.hook:
            return {}
        found, problems = attributes_of(await self._ask("inventory", self._settings.hook))
        if problems:
            self.log.warn(
                "Lines of the inventory hook that the report leaves out ({count}), the first: "
                "{first}",
                count=len(problems),
                first=problems[0],
            )
        return found

    async def _ask(self, name: str, command: Sequence[str]) -> Sequence[str]:
        """Run a hook as for a job, but without one."""
        call = Call(Hook.VERSION, _NO_JOB, agent=self._agent)
        environment = {**call.environment(), os.fsencode(HOOK): os.fsencode(name)}
        try:
            return await self._probe.run(command, call.arguments(), environment)
        except ProbeFailed as failed:
            raise type(failed)(f"{name} hook: {failed}") from None

    def _ask_later(self, problem: str) -> None:
        self._retries += 1
        if self._retries >= self._hooks.max_retries:
            self.log.warn("The package is not reported: {problem}", problem=problem)
        else:
            self._again.start(self._hooks.retry_interval, self._ask_again)

    def _ask_again(self) -> None:
        self._due = True
        self._look()


_NO_JOB = Job(JobExecution(ExecutionKey("", 0, 0), Status.QUEUED, 0), version="", file="")
"""Stands for the job in the facts that a hook gets."""


def _is_session_listener(inventory: Inventory) -> MqttSessionEvents:
    return inventory
