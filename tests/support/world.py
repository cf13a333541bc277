"""Everything that an update needs, in one directory: broker, cloud, file server, device.

The fixtures of the end-to-end tests are made of the same parts; this is for tools that run many
updates, in threads of their own.
"""

from __future__ import annotations

import itertools
import os
import random
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Self

from tests.simulator.broker_rules import broker_breaches
from tests.simulator.cloud import Cloud
from tests.simulator.connection import BROKER_OPTIONS
from upparat.job import Status
from upparat.runtime import MAX_PATH

from .agent import Agent
from .files import File, FileServer
from .mosquitto import Mosquitto
from .scripts import Hooks, Step, adopt, copy_file, digest, leave, pause, say, swallow, write
from .waiting import comes_true

THING = "device-1"
CLIENT_ID = "agent-1"

FAST: dict[str, dict[str, object]] = {
    "service": {"log_level": "DEBUG", "progress_interval": 0},
    "hooks": {"retry_interval": 0.2, "restart_grace": 0.2, "restart_timeout": 2},
}

Sections = Mapping[str, Mapping[str, object]]


def device_config(
    directory: Path, broker: Mosquitto, hooks: Hooks, sections: Sections
) -> dict[str, dict[str, object]]:
    """The configuration of a device that is quick; ``sections`` adds options or replaces them."""
    config: dict[str, dict[str, object]] = {
        "service": {
            **FAST["service"],
            "download_location": directory / "downloads",
            "state_dir": directory / "state",
        },
        "broker": {
            "host": broker.host,
            "port": broker.port,
            "thing_name": THING,
            "client_id": CLIENT_ID,
        },
        "hooks": {**FAST["hooks"], **hooks.options},
        "download": {"allow_http": "yes"},
        "control": {"socket": control_socket(directory) or "off"},
    }
    for section, options in sections.items():
        config.setdefault(section, {}).update(options)
    return config


def signed(file: File) -> Callable[[], str]:
    """The file's URL, signed anew at every delivery of the document."""
    numbers = itertools.count(1)
    return lambda: f"{file.url}?X-Amz-Expires=3600&X-Amz-Signature=secret-{next(numbers)}"


def _streamed(sections: Sections) -> Sections:
    hooks = {"retry_interval": 0.5, **sections.get("hooks", {}), "install_stream": "yes"}
    return {**sections, "hooks": hooks}


def control_socket(directory: Path) -> Path | None:
    """The control socket of the agent of a directory; ``None`` if its path would be too long."""
    path = directory / "control.sock"
    return path if len(os.fsencode(path)) <= MAX_PATH else None


class World:
    """A device and all that it talks to, while it is a context; the agent runs when it is started.

    :param size: bytes of each file.
    :param leisure: seconds that the install and the restart hook take.
    :param command: what makes the agent's command line of its usual one.
    :param streamed: whether the install hook reads the file from its stdin.
    :param broken: whether new versions do not work; then the device can go back to version 1.0.
    """

    def __init__(
        self,
        directory: Path,
        sections: Sections | None = None,
        *,
        size: int = 100_000,
        leisure: float = 0,
        command: Callable[[list[str]], list[str]] | None = None,
        streamed: bool = False,
        broken: bool = False,
    ) -> None:
        directory.mkdir(parents=True)
        if streamed:
            sections = _streamed(sections or {})
        self.streamed = streamed
        self.directory = directory
        self.broker = Mosquitto(directory, options=BROKER_OPTIONS)
        self.files = FileServer()
        self.hooks = Hooks(directory / "hooks", directory / "agent" / "agent.pid")
        self.hooks.standard()
        self.broken = broken
        self.staged = directory / "staged"
        if broken:
            self._break()
        config = device_config(directory / "agent", self.broker, self.hooks, sections or {})
        self.agent = Agent(directory / "agent", config)
        if command is not None:
            plain = self.agent.command
            self.agent.command = lambda: command(plain())  # type: ignore[method-assign]
        self.leisure = leisure
        self._size = size
        self._installs_before_restart: dict[str, int] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stack.callback(self._end)
        self._stack.enter_context(self.broker)
        self._stack.enter_context(self.files)
        self.cloud = self._stack.enter_context(Cloud(self.broker.port, THING))
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _end(self) -> None:
        self.agent.power_cut()

    def _break(self) -> None:
        self.hooks.ready([leave(1)])
        self.hooks.set("rollback", [write(self.staged, "1.0"), say("restart")])
        self.hooks.set("cleanup", [])

    # --- an update ---

    def release(self, job_id: str, version: str, restart: Step | None = None) -> File:
        """Create a job; its restart hook makes the device run ``version``."""
        content = random.Random(version).randbytes(self._size)
        file = self.files.add(f"/{job_id}.bin", content)
        self.staged.write_text("1.0")
        copying = (
            write(self.staged, version) if self.broken else copy_file(self.hooks.installed_file)
        )
        reading = [swallow(self.hooks.directory / "slot")] if self.streamed else []
        self.hooks.install([*reading, digest(), pause(self.leisure), copying, digest()])
        switching = [pause(self.leisure), self._switch(version)]
        self.hooks.restart([*switching, *([restart] if restart else [])])
        document: dict[str, object] = {
            "action": "upparat-update",
            "version": version,
            "file": signed(file),
        }
        if self.streamed:
            document["sha256"] = file.sha256
        self.cloud.when(job_id, "reboot_start", lambda: self._note_restart(job_id))
        self.cloud.create_job(job_id, document)
        return file

    def _switch(self, version: str) -> Step:
        if self.broken:
            return adopt(self.staged, self.hooks.version_file)
        return self.hooks.become(version)

    def _note_restart(self, job_id: str) -> None:
        self._installs_before_restart.setdefault(job_id, self._installs(job_id))

    def _installs(self, job_id: str) -> int:
        calls = self.hooks.calls("install")
        return sum(call.env["UPPARAT_JOB_ID"] == job_id for call in calls)

    # --- what must hold ---

    def violations(self, job_id: str, file: File, version: str) -> list[str]:
        """What is wrong now that the job has ended; waits for the agent to tidy up."""
        return [
            *self._wrong_end(job_id, version),
            *self._wrong_installs(job_id, file),
            *self._wrong_order(),
            *self.leftovers(),
            *self.cloud.breaches,
            *self.cloud.errors,
            *broker_breaches(self.broker.log, CLIENT_ID, THING),
        ]

    def untold(self, job_id: str) -> list[str]:
        """What is wrong with the end of a job that had to be taken back."""
        execution = self.cloud.execution(job_id)
        details = execution.details or {}
        names = [call.hook for call in self.hooks.calls() if call.env["UPPARAT_JOB_ID"] == job_id]
        first = names.index("rollback") if "rollback" in names else len(names)
        told = (execution.status, details.get("state"), details.get("rollback"))
        expected = (Status.FAILED, "ready_hook_failed", "done")
        return [
            *([] if told == expected else [f"{job_id} ended {execution.status} {details}"]),
            *([] if details.get("running") == self.version == "1.0" else [f"{self.version} runs"]),
            *([f"installed after the rollback: {names}"] if "install" in names[first:] else []),
            *self._wrong_order(),
            *self.leftovers(),
            *self._untidied(job_id),
            *self.cloud.breaches,
            *self.cloud.errors,
        ]

    def _untidied(self, job_id: str) -> list[str]:
        """A line if the cleanup hook does not come to its end."""

        def tidied() -> bool:
            calls = self.hooks.calls("cleanup")
            return any(each.code == 0 and each.env["UPPARAT_JOB_ID"] == job_id for each in calls)

        return [] if comes_true(tidied) else [f"{job_id} was not tidied up"]

    @property
    def version(self) -> str:
        """What the device runs."""
        return self.hooks.version_file.read_text()

    def _wrong_end(self, job_id: str, version: str) -> list[str]:
        execution = self.cloud.execution(job_id)
        if execution.status is Status.SUCCEEDED and self.version == version:
            return []
        return [f"{job_id} ended {execution.status} {execution.details}, running {self.version}"]

    def _wrong_installs(self, job_id: str, file: File) -> list[str]:
        wrong = [
            f"{job_id}: the install hook saw another file"
            for job, seen in self.hooks.digests()
            if job == job_id and seen != file.sha256
        ]
        installs = self._installs(job_id)
        before = self._installs_before_restart.get(job_id, installs)
        if installs != before:
            wrong.append(f"{job_id}: {installs - before} installs after the restart was announced")
        if self.hooks.installed_file.read_bytes() != file.content:
            wrong.append(f"{job_id}: the installed file is another one")
        return wrong

    def _wrong_order(self) -> list[str]:
        """A job is worked on until it has ended, and versions only go up."""
        updates = list(self.cloud.store.updates)
        jobs = [job_id for job_id, _ in itertools.groupby(each.job_id for each in updates)]
        wrong = [f"{job_id} was interleaved" for job_id in jobs if jobs.count(job_id) > 1]
        for before, after in itertools.pairwise(updates):
            if before.job_id == after.job_id and after.version <= before.version:
                wrong.append(f"{after.job_id}: version {after.version} after {before.version}")
        return wrong

    def leftovers(self) -> list[str]:
        """What an update has left behind; waits for the agent to tidy up."""
        return [] if comes_true(lambda: not self.agent.leftovers()) else self.agent.leftovers()
