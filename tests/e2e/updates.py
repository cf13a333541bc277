"""One update after the other on one device, for tests of what its hooks are told and what they say.

All documents have a secret ``meta``, and their URLs a secret query.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.agent import Agent
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Call, Hooks, show
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


class Updates:
    """Runs jobs to their end on an agent that is started at the latest with the first one."""

    def __init__(
        self,
        start: AgentFactory,
        cloud: Cloud,
        hooks: Hooks,
        file: File,
        document: Documents,
    ) -> None:
        self.cloud = cloud
        self.hooks = hooks
        self.file = file
        self.agent: Agent | None = None
        self._start = start
        self._document = document

    def start(self, **options: object) -> Agent:
        """Start the agent with these options of ``[hooks]``."""
        self.agent = self._start(hooks=options)
        self.agent.wait_for_log("fetch_jobs -> monitor")
        return self.agent

    def create(self, job_id: str = "job-1", **more: object) -> None:
        """Create a job; ``more`` are members of its document."""
        if self.agent is None:
            self.start()
        self.cloud.create_job(job_id, self._document(self.file, **{"meta": META, **more}))

    def run(self, job_id: str = "job-1", **more: object) -> list[Step]:
        """Create a job, wait until it has ended, and return its history without the download's
        progress."""
        self.create(job_id, **more)
        self.cloud.wait_for_end(job_id)
        return self.history(job_id)

    def wait_for_step(self, step: Step, job_id: str = "job-1") -> None:
        """Block until this was accepted as a report."""
        self.cloud.wait_for(lambda: step in self.cloud.history(job_id))

    def history(self, job_id: str = "job-1") -> list[Step]:
        """A job's status, state and message at each step, without the download's progress."""
        return steps(self.cloud.history(job_id))

    def calls(self, job_id: str = "job-1", hook: str = "") -> list[Call]:
        """The calls of hooks for a job, in their order."""
        calls = self.hooks.calls(hook)
        return [call for call in calls if call.env["UPPARAT_JOB_ID"] == job_id]

    def names(self, job_id: str = "job-1") -> list[str]:
        """The hooks that were called for a job, in their order."""
        return [call.hook for call in self.calls(job_id)]


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
