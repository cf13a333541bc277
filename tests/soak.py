"""Many jobs in the life of one agent: ``python -m tests.soak [--jobs N]``.

Tells the memory, the file descriptors and the delayed calls of the agent after a warm-up and after
each hundred jobs; fails if they grow, or if a job does not end as it should.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.waiting import wait_until
from tests.support.world import World

WARM_UP = 20
"""Jobs until everything has been imported and every cache is filled."""

STEP = 100
GROWTH = 1.05
ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Sample:
    """The agent between two jobs; memory in KiB."""

    jobs: int
    resident: int
    files: int
    delayed_calls: int
    objects: int

    def __str__(self) -> str:
        return (
            f"after {self.jobs:5} jobs: {self.resident / 1024:.1f} MiB resident, {self.files} file "
            f"descriptors, {self.delayed_calls} delayed calls, {self.objects} objects"
        )


class Soak:
    """One device, and the jobs that it does."""

    def __init__(self, directory: Path) -> None:
        self._facts = directory / "observed.json"
        self.world = World(
            directory / "world",
            {"service": {"log_level": "WARNING"}, "hooks": {"restart_grace": 0.01}},
            command=self._observed,
        )

    def _observed(self, plain: list[str]) -> list[str]:
        facts = [f"OBSERVED={self._facts}", f"PYTHONPATH={ROOT}"]
        return ["env", *facts, sys.executable, "-m", "tests.support.observed", *plain]

    def job(self, number: int) -> None:
        world, job_id, version = self.world, f"job-{number}", f"2.{number}"
        file = world.release(job_id, version)
        end = world.cloud.wait_for_end(job_id)
        assert end.state == "complete_soft_restart", end
        assert world.hooks.installed_file.read_bytes() == file.content
        wait_until(lambda: world.agent.record() is None)

    def sample(self, jobs: int) -> Sample:
        self._facts.unlink(missing_ok=True)
        pid = self.world.agent.pid
        os.kill(pid, signal.SIGUSR1)
        wait_until(self._facts.exists)
        facts = json.loads(self._facts.read_text())
        status = Path(f"/proc/{pid}/status").read_text()
        resident = int(status.partition("VmRSS:")[2].split()[0])
        files = len(os.listdir(f"/proc/{pid}/fd"))
        return Sample(jobs, resident, files, facts["delayed_calls"], facts["objects"])


def growth(first: Sample, last: Sample) -> list[str]:
    """What has grown that must not."""
    grown = []
    if last.resident > first.resident * GROWTH:
        grown.append(f"resident memory from {first.resident} to {last.resident} KiB")
    if last.files > first.files:
        grown.append(f"file descriptors from {first.files} to {last.files}")
    if last.delayed_calls > first.delayed_calls + 1:  # a request may be under way
        grown.append(f"delayed calls from {first.delayed_calls} to {last.delayed_calls}")
    return grown


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak")
    parser.add_argument("--jobs", type=int, default=500)
    arguments = parser.parse_args(argv)
    samples = []
    with tempfile.TemporaryDirectory(prefix="upparat-soak-") as directory:
        soak = Soak(Path(directory))
        with soak.world as world:
            world.agent.start()
            begin = time.monotonic()
            for number in range(1, arguments.jobs + 1):
                soak.job(number)
                if number == WARM_UP or number % STEP == 0 or number == arguments.jobs:
                    samples.append(soak.sample(number))
                    print(samples[-1], flush=True)
            pace = (time.monotonic() - begin) / arguments.jobs
            wrong = growth(samples[0], samples[-1]) + world.cloud.breaches + world.cloud.errors
            assert world.agent.stop() == 0
    print(f"{arguments.jobs} jobs, {pace:.2f} s each; {'; '.join(wrong) or 'nothing has grown'}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
