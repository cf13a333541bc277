"""One update after the other on one device: what end-to-end tests say often.

All documents have a secret ``meta``, and their URLs a secret query.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from tests.simulator.cloud import Cloud
from tests.simulator.faults import Request
from tests.support.agent import Agent
from tests.support.files import File
from tests.support.scripts import Call, Hooks, show
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import signed
from upparat.iotjobs.client import NO_VERSION
from upparat.job import Hook

META = "secret meta"

Step = tuple[str, str, str]

STARTED = ("IN_PROGRESS", "download_start", "none")
INSTALLING = ("IN_PROGRESS", "installation_start", "none")
RESTARTING = ("IN_PROGRESS", "reboot_start", "none")
SUCCEEDED = [
    STARTED,
    INSTALLING,
    RESTARTING,
    ("SUCCEEDED", "complete_soft_restart", "none"),
]
ALL_CALLS = ["version", "download", "install", "restart", "version", "ready"]


@dataclass(frozen=True)
class Point:
    """A call of a hook in the life of a job: what was reported and called before it."""

    hook: Hook
    history: tuple[Step, ...]
    called: tuple[str, ...]

    @property
    def after_restart(self) -> bool:
        return len(self.called) > 3 and self.hook is Hook.VERSION

    def failure(self, message: str) -> list[Step]:
        """The history of a job that fails here."""
        return [*self.history, ("FAILED", self.hook.failure.value, message)]

    def plan(self, hooks: Hooks, *runs: list[list[object]]) -> None:
        """Let the hook do these steps from here on."""
        before = [[show(hooks.version_file)]] if self.after_restart else []
        hooks.set(self.hook, *before, *runs)


POINTS = [
    Point(Hook.VERSION, (), ()),
    Point(Hook.DOWNLOAD, (), ("version",)),
    Point(Hook.INSTALL, (STARTED, INSTALLING), ("version", "download")),
    Point(Hook.RESTART, (STARTED, INSTALLING, RESTARTING), tuple(ALL_CALLS[:3])),
    Point(Hook.VERSION, (STARTED, INSTALLING, RESTARTING), tuple(ALL_CALLS[:4])),
    Point(Hook.READY, (STARTED, INSTALLING, RESTARTING), tuple(ALL_CALLS[:5])),
]


class AgentFactory(Protocol):
    """Starts an agent; keywords other than these are sections of its configuration."""

    def __call__(
        self,
        *,
        supervised: bool = False,
        reboots: bool = False,
        console: bool = False,
        **sections: Mapping[str, object],
    ) -> Agent: ...


class Updates:
    """A device, the cloud, and the file that jobs name.

    ``members`` are what all documents have besides; ``starts_over`` says that a download will, so
    that its progress falls back.

    :param start: starts an agent.
    """

    def __init__(self, start: AgentFactory, cloud: Cloud, hooks: Hooks, file: File) -> None:
        self.cloud = cloud
        self.hooks = hooks
        self.file = file
        self.agent: Agent | None = None
        self.members: dict[str, object] = {"meta": META}
        self.starts_over = False
        self._start = start

    def start(
        self,
        *,
        supervised: bool = False,
        reboots: bool = False,
        console: bool = False,
        **sections: Mapping[str, object],
    ) -> Agent:
        """Start the agent; see :class:`AgentFactory`."""
        self.agent = self._start(
            supervised=supervised, reboots=reboots, console=console, **sections
        )
        return self.agent

    def document(self, **more: object) -> dict[str, object]:
        """The document of a job; ``more`` adds members or replaces them."""
        return {
            "action": "upparat-update",
            "version": "2.0",
            "file": signed(self.file),
            **self.members,
            **more,
        }

    def create(self, job_id: str = "job-1", /, **more: object) -> None:
        """Create a job with this document."""
        self.cloud.create_job(job_id, self.document(**more))

    def run(self, job_id: str = "job-1", /, **more: object) -> list[Step]:
        """Create a job, start the agent unless that was done before, and see to the end."""
        if self.agent is None:
            self.start()
        self.create(job_id, **more)
        return self.end(job_id)

    def stand_still(self, offset: int = 50_000, **more: object) -> Agent:
        """Create a job whose download halts at this byte, and wait until it has; the agent is
        started unless that was done before."""
        self.file.stall(offset)
        device = self.agent or self.start()
        self.create(**more)
        assert self.file.stalled.wait(PATIENCE)
        parts = device.directory / "downloads" / "upparat"
        wait_until(lambda: [part.stat().st_size for part in parts.glob("*.part")] == [offset])
        self.cloud.wait_for_state("job-1", "download_start")
        return device

    def end(self, job_id: str = "job-1", timeout: float = PATIENCE) -> list[Step]:
        """Wait until a job has ended, and return its history."""
        self.cloud.wait_for_end(job_id, timeout=timeout)
        return self.history(job_id)

    def wait_for_step(self, step: Step, job_id: str = "job-1") -> None:
        """Block until this was accepted as a report."""
        self.cloud.wait_for(lambda: step in self.cloud.history(job_id))

    def history(self, job_id: str = "job-1") -> list[Step]:
        """A job's status, state and message at each step, without the download's progress, which
        must make sense."""
        history = self.cloud.history(job_id)
        told = [step for step in history if step[1] == "download_progress"]
        figures: list[dict[str, Any]] = [json.loads(message) for _, _, message in told]
        done = [each["downloaded_bytes"] for each in figures]
        assert self.starts_over or done == sorted(done)
        assert {status for status, _, _ in told} <= {"IN_PROGRESS"}
        return [step for step in history if step[1] != "download_progress"]

    @property
    def installed(self) -> bytes:
        """What the install hook was given."""
        return self.hooks.installed_file.read_bytes()

    def calls(self, job_id: str = "job-1", hook: str = "") -> list[Call]:
        """The calls of hooks for a job, in their order."""
        calls = self.hooks.calls(hook)
        return [call for call in calls if call.env["UPPARAT_JOB_ID"] == job_id]

    def names(self, job_id: str = "job-1") -> list[str]:
        """The hooks that were called for a job, in their order."""
        return [call.hook for call in self.calls(job_id)]


def asks_for_the_end(request: Request) -> bool:
    """Whether an update is the agent's question how an execution has ended."""
    return request.body.get("expectedVersion") == NO_VERSION


@contextmanager
def nothing_secret_is_logged(directory: Path) -> Iterator[None]:
    """What every agent below a directory has logged until the end holds no query and no meta."""
    yield
    logs = [*directory.rglob("agent.log*"), *directory.rglob("agent.out")]
    lines = [line for log in logs for line in log.read_text(errors="replace").splitlines()]
    assert lines
    leaks = [line for line in lines if "X-Amz" in line or "secret" in line]
    assert leaks == [], leaks


def environment(call: Call, agent: Agent) -> dict[str, str]:
    """The environment of a call of a job of ours without force, by the documentation."""
    return {
        "UPPARAT_JOB_ID": "job-1",
        "UPPARAT_VERSION": "2.0",
        "UPPARAT_FILE": call.argv[3] if call.hook == "install" else "",
        "UPPARAT_META": META,
        "UPPARAT_FORCE": "",
        "UPPARAT_RETRY": call.argv[1],
        "UPPARAT_ELAPSED": call.argv[0],
        "UPPARAT_HOOK": call.hook,
        "UPPARAT_AGENT": str(agent.directory / "state"),
        "UPPARAT_GROUP": str(call.pid),
        "UPPARAT_TEST_SCRATCH": str(agent.directory),
    }
