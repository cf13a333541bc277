"""Kills agents in downloads by a delta: ``python -m tests.torture_delta [--kills N] [--seed S]``.

Every update is one by a delta, stored or streamed, to a device that has the version before. As
soon as the agent fetches ranges, a moment passes, and it is killed; sometimes with all its hooks
and a new boot id: a power cut. At the end the job must have succeeded with the right file, without
the URL of the file, and after each kill no more ranges may have been asked for a second time than
were under way.
"""

from __future__ import annotations

import argparse
import itertools
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.files import File, Request
from tests.support.scripts import copy_file, digest, overwrite
from tests.support.waiting import wait_until
from tests.support.world import World, signed
from tests.support.zchunk import changed, image, zck
from upparat.delta.header import parse_header
from upparat.delta.lines import AHEAD
from upparat.delta.tables import ChunkTables, table_of

SIZE = 6_000_000
CHANGES = range(20_000, SIZE, 75_000)
"""Where the new version differs: in about a third of it."""

RATE = 150_000.0
"""Bytes a second of each connection."""

LONGEST = 0.7
"""Seconds between the first range of a life and its end, at the most."""

BLOWS = 6
"""Kills in one update, at the most."""

UNDER_WAY = AHEAD + 2
"""Ranges that a kill may cost: those that are fetched or wait, and the one that is written."""

IN_THE_PIPE = 3
"""Ranges more that are on their way to the install hook."""

PATIENCE = 120.0


@dataclass
class DeltaTally:
    """What has happened so far."""

    updates: int = 0
    kills: int = 0
    streamed: int = 0
    most_again: int = 0
    violations: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __str__(self) -> str:
        return (
            f"{self.updates} updates, {self.kills} kills in downloads by a delta"
            f" ({self.streamed} of them streamed), {self.most_again} ranges again after one kill"
            f" at the most, {len(self.violations)} violations"
        )


class DeltaUpdate:
    """One update of a device, in a directory of its own."""

    def __init__(self, directory: Path, dice: random.Random) -> None:
        self._directory = directory
        self._dice = dice
        self.streamed = dice.random() < 0.5
        self.kills = 0
        self.most_again = 0

    def run(self) -> list[str]:
        """Returns what is wrong at its end."""
        slots = self._directory / "slot-a", self._directory / "slot-b"
        sections = {"delta": {"seeds": " ".join(map(str, slots))}}
        with World(self._directory, sections, streamed=self.streamed) as world:
            file, delta = self._release(world, *slots)
            lives = list(self._lives(world, delta))
            try:
                world.cloud.wait_for_end("job-1", PATIENCE)
            except AssertionError as error:
                return [str(error)]
            lives.append(delta.requests[sum(map(len, lives)) :])
            return [*world.violations("job-1", file, "2.0"), *self._wrong(world, file, lives)]

    def _release(self, world: World, seed: Path, target: Path) -> tuple[File, File]:
        """Make the job, and a device that knows the chunks of the version before."""
        old = image(SIZE)
        new = changed(old, *CHANGES)
        seed.write_bytes(old)
        known = table_of(parse_header(zck(self._directory, old)))
        ChunkTables(world.agent.directory / "state" / "delta").add(known)
        file = world.files.add("/new.bin", new)
        delta = world.files.add("/new.zck", zck(self._directory, new))
        delta.slow(RATE, times=-1)
        reading = [overwrite(target)] if self.streamed else []
        world.hooks.install([*reading, digest(), copy_file(world.hooks.installed_file)])
        document = {"action": "upparat-update", "version": "2.0", "sha256": file.sha256}
        urls = {"file": signed(file), "delta": signed(delta)}
        world.cloud.create_job("job-1", {**document, **urls, "size": len(new)})
        return file, delta

    def _lives(self, world: World, delta: File) -> Iterator[list[Request]]:
        """Kill the agent again and again. Yields what each agent has asked for."""

        def ended() -> bool:
            return bool(world.cloud.execution("job-1").status.ended)

        def fetches() -> bool:
            return len(delta.requests) > begun + 1 or ended()

        world.agent.start()
        for _ in range(self._dice.randrange(1, BLOWS + 1)):
            begun = len(delta.requests)
            wait_until(fetches)
            time.sleep(self._dice.uniform(0, LONGEST))
            if ended() or world.hooks.digests():
                return
            (world.agent.kill if self._dice.random() < 0.6 else world.agent.power_cut)()
            self.kills += 1
            yield delta.requests[begun:]
            world.agent.start()

    def _wrong(self, world: World, file: File, lives: Sequence[Sequence[Request]]) -> list[str]:
        allowed = UNDER_WAY + (IN_THE_PIPE if self.streamed else 0)
        asked = [[each.bounds for each in life if each.bounds] for life in lives]
        again = [len(each) for each in repeated(asked)]
        self.most_again = max(again, default=0)
        return [
            *([f"{file.sent} bytes of the file"] if file.sent else []),
            *([f"ranges again: {again}"] if self.most_again > allowed else []),
            *(["the delta was given up"] if "the delta is not used" in world.agent.log else []),
        ]


def repeated(lives: Sequence[Sequence[tuple[int, int]]]) -> Iterator[list[tuple[int, int]]]:
    """The ranges of each life that an earlier one has asked for; all ask for the header."""
    before: list[tuple[int, int]] = []
    for life in lives:
        asked = [each for each in life if each[0]]
        yield [each for each in asked if any(overlap(each, other) for other in before)]
        before += asked


def overlap(one: tuple[int, int], other: tuple[int, int]) -> bool:
    return one[0] <= other[1] and other[0] <= one[1]


def torture(directory: Path, seed: str, kills: int, workers: int) -> DeltaTally:
    """Run until so many kills were made, or something is wrong."""
    tally = DeltaTally()

    def work(number: int) -> None:
        dice = random.Random(f"{seed}-{number}")
        for count in itertools.count(1):
            if tally.kills >= kills or tally.violations:
                return
            here = directory / f"worker-{number}" / f"update-{count}"
            update = DeltaUpdate(here, dice)
            wrong = update.run()
            with tally.lock:
                _add(tally, update, [f"{here}: {each}" for each in wrong])
            if not wrong:
                shutil.rmtree(here)

    with ThreadPoolExecutor(workers) as pool:
        for done in [pool.submit(work, number) for number in range(workers)]:
            done.result()
    return tally


def _add(tally: DeltaTally, update: DeltaUpdate, wrong: list[str]) -> None:
    tally.updates += 1
    tally.kills += update.kills
    tally.streamed += update.kills if update.streamed else 0
    tally.most_again = max(tally.most_again, update.most_again)
    tally.violations += wrong
    print(tally, flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.torture_delta")
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(10**9)))
    parser.add_argument("--workers", type=int, default=3)
    arguments = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="upparat-delta-"))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    tally = torture(directory, arguments.seed, arguments.kills, arguments.workers)
    print("\n".join([f"seed {arguments.seed}: {tally}", *tally.violations]))
    if not tally.violations:
        shutil.rmtree(directory)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
