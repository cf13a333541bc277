"""Kills agents at random: ``python -m tests.torture [--kills N] [--seed S] …``.

Every worker has a device, a broker, a cloud and a file server of its own, and updates the device
again and again. Meanwhile, at random moments, the agent is killed (sometimes with all its hooks and
a new boot id: a power cut), the broker is killed, the file server goes down for a while, or the
download's connection is cut. Then what ``World.violations`` says must hold: the job has succeeded,
above all.

In some updates the device also falls back to its old version after a power cut, and AWS tries a
job that has failed again. Then a success must be true: the version that runs is the job's, and the
ready hook has said yes since the last restart. In others the new version does not work: then the
device must be taken back, and AWS told why, and which version runs.

The seed makes the moments and the victims, but not the scheduling of processes: it reproduces a
failure with some luck only, so that the directory of a failed update is kept, with its logs.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.files import File
from tests.support.localworld import torture_local
from tests.support.world import World
from upparat.job import ACTION, State, Status
from upparat.local.aws import LocalAws

LONGEST = 2.5
"""Seconds between two blows; an update without any takes about two."""

BLOWS = 8
"""Blows that one update takes at the most: then it is left in peace."""

PATIENT = {"hooks": {"restart_attempts": BLOWS + 1}}
"""Each blow may hit the restart hook."""

PATIENCE = 120.0

DOWN = 1.0
"""Seconds that the file server stays down, at the most."""

IN_FLIGHT = 0.2
"""Seconds for the last messages of an agent to arrive before its device falls back."""

STREAMED = 0.4
"""The share of updates whose file is streamed into the install hook."""

FALLING = 0.35
"""The share of updates in which the device may fall back."""

UNDOING = 0.25
"""The share of updates that have to be taken back."""

EXECUTIONS = 6
"""Executions of a job, at the most."""

VICTIMS = {"agent": 12, "power": 3, "broker": 2, "server": 1, "connection": 2}
"""Who is hit, and how often in relation to the others."""

FALLS = {**VICTIMS, "fall": 6}
"""The same for a device that may fall back."""

SUCCESSES = (
    State.COMPLETE_READY,
    State.COMPLETE_SOFT_RESTART,
    State.VERSION_ALREADY_INSTALLED,
)


@dataclass
class Tally:
    """What has happened so far."""

    hits: Counter[str] = field(default_factory=Counter)
    updates: int = 0
    violations: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.hits["agent"] + self.hits["power"] + self.hits["fall"]

    def __str__(self) -> str:
        hits = ", ".join(f"{victim} {self.hits[victim]}" for victim in FALLS)
        return (
            f"{self.updates} updates, {self.kills} kills of the agent ({hits}), "
            f"{len(self.violations)} violations"
        )


class Worker:
    """Updates one device until its share of kills is reached."""

    def __init__(
        self, directory: Path, seed: str, kills: int, tally: Tally, undoing: float
    ) -> None:
        self._random = random.Random(seed)
        self._directory = directory
        self._kills = kills
        self._tally = tally
        self._undoing = undoing
        self._own = Counter[str]()

    def run(self) -> None:
        for number in itertools.count(1):
            kills = self._own["agent"] + self._own["power"] + self._own["fall"]
            if kills >= self._kills or self._tally.violations:
                return
            wrong = self._kind()(directory := self._directory / f"update-{number}")
            self._tally.updates += 1
            if wrong:
                self._tally.violations += [f"{directory}: {each}" for each in wrong]
            else:
                shutil.rmtree(directory)

    def _kind(self) -> Callable[[Path], list[str]]:
        if self._random.random() < self._undoing:
            return self._taken_back
        return self._falling if self._random.random() < FALLING else self._update

    def _taken_back(self, directory: Path) -> list[str]:
        """An update whose new version does not work."""
        with World(directory, PATIENT, size=100_000, leisure=0.3, broken=True) as world:
            file = world.release("job-1", "2.0", self._restart(world))
            world.agent.supervised = True
            world.agent.start()
            for victim in self._blows(VICTIMS):
                if world.cloud.execution("job-1").status.ended:
                    break
                self._hit(world, file, victim)
            try:
                world.cloud.wait_for_end("job-1", PATIENCE)
            except AssertionError as error:
                return [str(error)]
            return world.untold("job-1")

    def _update(self, directory: Path) -> list[str]:
        streamed = self._random.random() < STREAMED
        with World(directory, PATIENT, size=400_000, leisure=0.3, streamed=streamed) as world:
            file = world.release("job-1", "2.0", self._restart(world))
            world.cloud.create_job("foreign", {"action": "reboot"})
            # Ours, and refused when it is its turn: not before the end of the first job.
            world.cloud.create_job("next", {"action": ACTION})
            file.slow(600_000.0, times=-1)
            world.agent.supervised = True
            world.agent.start()
            for victim in self._blows(VICTIMS):
                if self._ended(world):
                    break
                self._hit(world, file, victim)
            return self._wrong(world, file)

    def _falling(self, directory: Path) -> list[str]:
        """An update of a device that may fall back; AWS tries it again until it succeeds."""
        untrue: list[str] = []
        with World(directory, PATIENT, size=100_000, leisure=0.3) as world:
            file = world.release("job-1", "2.0", self._restart(world))
            for state in SUCCESSES:
                world.cloud.when("job-1", state.value, lambda: untrue.extend(untruth(world)))
            world.agent.supervised = True
            world.agent.start()
            for victim in self._blows(FALLS):
                if world.cloud.execution("job-1").status.ended:
                    break
                self._hit(world, file, victim)
            for _ in range(EXECUTIONS):
                execution = world.cloud.wait_for_end("job-1", PATIENCE)
                if execution.status is not Status.FAILED:
                    break
                world.cloud.retry("job-1")
            return [
                *untrue,
                *([] if execution.status is Status.SUCCEEDED else [f"{execution.details}"]),
                *world.leftovers(),
                *world.cloud.breaches,
                *world.cloud.errors,
            ]

    def _restart(self, world: World) -> list[object] | None:
        """A soft restart, or a hook that takes the agent down."""
        return world.hooks.kill_agent() if self._random.random() < 0.5 else None

    def _blows(self, among: Mapping[str, int]) -> Iterator[str]:
        victims, weights = zip(*among.items(), strict=True)
        for _ in range(self._random.randrange(1, BLOWS + 1)):
            time.sleep(self._random.uniform(0, LONGEST))
            yield self._random.choices(victims, weights)[0]

    def _ended(self, world: World) -> bool:
        return bool(world.cloud.execution("next").status.ended and world.agent.record() is None)

    def _hit(self, world: World, file: File, victim: str) -> None:
        self._own[victim] += 1
        self._tally.hits[victim] += 1
        if victim == "agent":
            world.agent.kill()
            world.agent.start()
        elif victim == "power":
            world.agent.power_cut()
            world.agent.start()
        elif victim == "fall":
            world.agent.power_cut()
            time.sleep(IN_FLIGHT)
            world.hooks.version_file.write_text("1.0")
            world.agent.start()
        elif victim == "broker":
            world.broker.kill()
            world.broker.start()
        elif victim == "server":
            world.files.restart(self._random.uniform(0, DOWN))
        else:
            file.disconnect()

    def _wrong(self, world: World, file: File) -> list[str]:
        try:
            world.cloud.wait_for_end("job-1", PATIENCE)
            world.cloud.wait_for_end("next", PATIENCE)
        except AssertionError as error:
            return [str(error)]
        wrong = world.violations("job-1", file, "2.0")
        if world.cloud.asked("update", "foreign"):
            wrong.append("the foreign job was updated")
        return wrong


def untruth(world: World) -> list[str]:
    """What is wrong with a success of the update to 2.0 that AWS gets at this moment."""
    wrong = [] if world.version == "2.0" else [f"a success, though {world.version} runs"]
    calls = world.hooks.calls()
    begun = [n for n, call in enumerate(calls) if call.hook in ("install", "restart")]
    since = calls[max(begun, default=-1) + 1 :]
    if not any(call.hook == "ready" and call.code == 0 for call in since):
        wrong.append("a success without the ready hook")
    return wrong


def torture(
    directory: Path, seed: str, kills: int, workers: int, undoing: float = UNDOING
) -> Tally:
    """Run until so many kills were made, or something is wrong."""
    tally = Tally()
    share = -(-kills // workers)
    with ThreadPoolExecutor(workers) as pool:
        runs = [
            pool.submit(Worker(directory / f"worker-{n}", f"{seed}-{n}", share, tally, undoing).run)
            for n in range(workers)
        ]
        while wait(runs, timeout=10).not_done:
            print(tally, flush=True)
        for run in runs:
            run.result()
    return tally


def torture_on_local_aws(directory: Path, seed: str, updates: int) -> tuple[int, list[str]]:
    """The kills of so many updates on the local AWS, and what was wrong."""
    dice, kills, wrong = random.Random(seed), 0, list[str]()
    with LocalAws(directory / "aws") as aws:
        for number in range(updates):
            blows = dice.randrange(1, 5)
            kills += blows
            here = directory / f"local-{number}"
            found = torture_local(aws, here, f"thing-{number}", dice, blows)
            wrong += [f"{here}: {each}" for each in found]
    return kills, wrong


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--local", type=int, default=5, help="updates on the local AWS")
    parser.add_argument("--undoing", type=float, default=UNDOING, help="share of rollbacks")
    arguments = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="upparat-torture-"))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    tally = torture(
        directory, arguments.seed, arguments.kills, arguments.workers, arguments.undoing
    )
    print(f"seed {arguments.seed}: {tally}")
    if arguments.local:
        kills, wrong = torture_on_local_aws(directory, arguments.seed, arguments.local)
        print(f"local AWS: {arguments.local} updates, {kills} kills, {len(wrong)} violations")
        tally.violations += wrong
    print("\n".join(tally.violations))
    if not tally.violations:
        shutil.rmtree(directory)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
