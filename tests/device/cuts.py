"""Cuts the power of a machine at random: ``python -m tests.device.cuts [--cuts N] [--seed S]``.

One device is updated again and again, to the version that it does not have. Each update meets a few
cuts: most of them in a phase that is drawn or a later one, the others anywhere. A cut kills QEMU,
and loses what the guest has written and not flushed (``cache``). At the end of each job, and after
one more cut, ``violations`` says what does not hold. A job may fail only because the device has
fallen back: ``version_mismatch``.

The seed makes the moments, but not the speed of the machine: it reproduces a failure with some
luck only. So the console and the disk are kept.
"""

from __future__ import annotations

import argparse
import re
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from random import Random, SystemRandom

from upparat.job import Status
from upparat.local.aws import ExecutionStatus, LocalAws

from .guest import Silent
from .world import DeviceWorld, violations

CUTS = 8
"""Cuts of one update at the most: then it is left in peace."""
SPAN = 150.0
"""A cut that waits for no phase falls into these seconds from power-on. As all times of a cut, they
are seconds of a processor that QEMU uses, because a busy computer stretches all others."""
LINGER = 4.0
"""A cut that waits for a phase falls into these seconds from the phase's begin."""
ANYWHERE = 0.4
"""Chance that a cut waits for no phase."""
PATIENCE = 1200.0
"""Seconds in which a cut comes, whatever it waits for: an idle machine uses no processor."""
ENDS = {(Status.SUCCEEDED, "complete_ready"), (Status.FAILED, "version_mismatch")}

POWER_ON = "=== power on ==="
PHASES = {
    "power on": re.escape(POWER_ON),
    "boot": r"(?m)^boot: rootfs-[ab], permanent",
    "agent, before the download": r"Upparat \S+ for |-> verify_job",
    "download": r"-> download",
    "installation": r"-> install\b",
    "restart": r"-> restart",
    "way down": r"reboot: Restarting|Received SIGTERM",
    "boot of the new version": r"(?m)^boot: rootfs-[ab], trial",
    "confirmation": r"-> verify_installation|-> ready\b",
    "rollback": r"-> rollback",
    "after the end": r"(SUCCEEDED|FAILED) ",
}
"""What the console shows when a phase begins, in the order of an update that nothing disturbs."""
LAST = "after the end"
DRAWN = [name for name in PHASES if name not in ("power on", "rollback", LAST)]


def phase(console: str) -> str:
    """The phase in which the console ends, since the power was switched on."""
    console = console[console.rindex(POWER_ON) :]
    begun = {
        found.start(): name
        for name, pattern in PHASES.items()
        for found in re.finditer(pattern, console)
    }
    return begun[max(begun)]


@dataclass(frozen=True)
class Moment:
    """When a cut comes: in a phase or a later one, after so many seconds of work."""

    phase: str
    seconds: float

    @classmethod
    def drawn(cls, dice: Random) -> Moment:
        if dice.random() < ANYWHERE:
            return cls("power on", dice.uniform(0, SPAN))
        return cls(dice.choice(DRAWN), dice.uniform(0, LINGER))


def reached(now: str, wanted: str) -> bool:
    """Whether a phase or a later one has begun."""
    order = list(PHASES)
    return order.index(now) >= order.index(wanted)


@dataclass
class Tally:
    """What has happened so far."""

    cuts: Counter[str] = field(default_factory=Counter)
    pages_lost: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)

    def table(self) -> str:
        """Where the cuts hit, as rows of Markdown."""
        rows = ["| phase | cuts | pages of 4 KiB lost |", "|---|---|---|"]
        rows += [f"| {name} | {self.cuts[name]} | {self.pages_lost[name]} |" for name in PHASES]
        rows.append(f"| all | {self.cuts.total()} | {self.pages_lost.total()} |")
        return "\n".join(rows)


def contradictions(ended: ExecutionStatus, old: str) -> list[str]:
    """What the end of a job says that no power cut explains."""
    wrong = []
    if (ended.status, ended.state) not in ENDS:
        wrong.append(f"a power cut is no reason for {ended}")
    if ended.status is Status.FAILED and ended.details.get("running") != old:
        wrong.append(f"{old} runs, but not by {ended}")
    return wrong


class Campaign:
    """Updates one device until it has met so many cuts, the time is up, or something is wrong.

    :param deadline: no update begins after it; a time of ``time.monotonic``.
    """

    def __init__(
        self, world: DeviceWorld, dice: Random, tally: Tally, deadline: float = float("inf")
    ) -> None:
        self._world, self._dice, self._tally, self._deadline = world, dice, tally, deadline
        self._version = "1.0"

    def run(self, cuts: int) -> None:
        self._world.machine.start()
        while self._tally.cuts.total() < cuts and not self._tally.violations:
            if time.monotonic() > self._deadline:
                return
            left = cuts - self._tally.cuts.total() - 1
            self._update(max(0, min(self._dice.randrange(1, CUTS + 1), left)))

    def _update(self, cuts: int) -> None:
        old = self._version
        new = "2.0" if old == "1.0" else "1.0"
        job_id = f"job-{self._tally.ends.total() + 1}"
        self._world.release(job_id, new)
        for _ in range(cuts):
            self._wait_for(Moment.drawn(self._dice))
            self._cut(job_id)
            if self._world.execution(job_id).status.ended:
                break
        try:
            self._let_through(job_id, old, new)
        except (AssertionError, Silent) as error:
            self._tally.violations.append(f"{job_id}: {error}")

    def _let_through(self, job_id: str, old: str, new: str) -> None:
        """Wait for the end. What is told must hold now, and after one more cut."""
        world, tally = self._world, self._tally
        ended = world.wait_for_end(job_id)
        tally.ends[f"{ended.status} {ended.state}"] += 1
        print(f"{job_id} to {new}: {ended.status} {ended.state}", flush=True)
        self._version = new if ended.status is Status.SUCCEEDED else old
        tally.violations += [f"{job_id}: {each}" for each in contradictions(ended, old)]
        tally.violations += violations(world, job_id, self._version)
        self._cut(job_id)
        world.wait_until_up()
        tally.violations += violations(world, job_id, self._version)
        if world.execution(job_id) != ended:
            tally.violations.append(f"{job_id}: {ended} became {world.execution(job_id)}")

    def _wait_for(self, moment: Moment) -> None:
        machine = self._world.machine
        begun = 0.0 if moment.phase == "power on" else None
        end = time.monotonic() + PATIENCE * self._world.hardware.patience
        while time.monotonic() < end:
            now = phase(machine.console)
            if begun is None and reached(now, moment.phase):
                begun = machine.worked
            if now == LAST or (begun is not None and machine.worked >= begun + moment.seconds):
                return
            time.sleep(0.05)

    def _cut(self, job_id: str) -> None:
        machine, tally = self._world.machine, self._tally
        now = phase(machine.console)
        loss = machine.cut_power(self._dice)
        tally.cuts[now] += 1
        tally.pages_lost[now] += loss.lost
        state = self._world.execution(job_id)
        print(
            f"{time.strftime('%H:%M:%S')} {job_id} cut {tally.cuts.total()}: {now}; "
            f"{state.status} {state.state}; pages lost {loss.lost}, kept {loss.kept}",
            flush=True,
        )
        machine.start()


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device.cuts")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", default=str(SystemRandom().randrange(10**9)))
    parser.add_argument("--minutes", type=float, default=1e6, help="no update begins later")
    arguments = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="upparat-device-"))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    tally = Tally()
    with LocalAws(directory / "aws") as aws:
        world = DeviceWorld(aws, directory / "device")
        deadline = time.monotonic() + 60 * arguments.minutes
        with world.machine:
            Campaign(world, Random(arguments.seed), tally, deadline).run(arguments.cuts)
    print(f"seed {arguments.seed}: {dict(tally.ends)}\n{tally.table()}")
    print("\n".join(tally.violations) or "0 violations")
    if not tally.violations:
        shutil.rmtree(directory)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
