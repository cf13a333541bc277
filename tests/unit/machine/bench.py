"""A machine on fakes that can be brought into each state, and the effects of a job's end."""

from __future__ import annotations

from tests.support.ports import Bench, Call, execution, key
from upparat.job import Hook, JobExecutionSummary, State, Status
from upparat.ports import JobStep, Memory

IN_PROGRESS = Status.IN_PROGRESS
QUEUED = Status.QUEUED


def summary(
    job_id: str = "a", status: Status = QUEUED, queued_at: int = 100
) -> JobExecutionSummary:
    return JobExecutionSummary(key(job_id, queued_at=queued_at), status)


def ended(job_id: str, state: str, message: str = "none", *, discard: bool = True) -> list[Call]:
    """The effects of a job's end."""
    return [
        ("report", job_id, state, message),
        ("clear record",),
        *([("discard", job_id)] if discard else []),
        ("fetch",),
    ]


class Life(Bench):
    """A bench that can be brought into each state."""

    def started(self, memory: Memory | None = None) -> Life:
        self.machine.start(memory)
        return self

    def selecting(self) -> Life:
        self.started().machine.pending([], [summary()])
        return self

    def verifying(self) -> Life:
        self.selecting().machine.described(execution())
        return self

    def asking_to_download(self) -> Life:
        self.verifying().machine.version_known("1.0")
        return self

    def downloading(self) -> Life:
        self.asking_to_download().machine.download_allowed()
        return self

    def downloading_without_hooks(self) -> Life:
        self.selecting().machine.described(execution())
        return self

    def streaming(self) -> Life:
        self.downloading().machine.stream_ready()
        return self

    def installing(self) -> Life:
        self.downloading().machine.downloaded("/file")
        return self

    def restarting(self) -> Life:
        self.installing().machine.installed()
        return self

    def restart_running(self) -> Life:
        self.restarting().machine.delivered(State.REBOOT_START)
        return self

    def checking(self) -> Life:
        self.restart_running().machine.restarted()
        self.machine.timeout()
        return self

    def holding(self, *steps: JobStep) -> Life:
        """Wait with each of these steps, or with the download."""
        self.gate.closed = set(steps or [JobStep.DOWNLOAD])
        self.asking_to_download()
        return self

    def winding_down(self) -> Life:
        self.installing().machine.cancelled()
        return self

    def rolling_back(self) -> Life:
        self.installing().machine.hook_failed(Hook.INSTALL, "Exit code: 1", {"hook": "install"})
        return self

    def cleaning(self) -> Life:
        self.verifying().machine.hook_failed(Hook.VERSION, "Exit code: 1", {})
        return self

    def quiet(self) -> Life:
        self.taken()
        return self
