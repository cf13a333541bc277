"""Cuts the power of a machine at random: ``python -m tests.device.cuts [--cuts N] [--seed S]``.

The device is updated again and again, on the same disk, to the version that it does not have. Each
update meets a few cuts, some of them at a moment that the console announces and the others
anywhere. A cut kills QEMU, and loses what the guest has written and not flushed: see ``cache``.
Then ``violations`` says what must hold.

The seed makes the moments, but not the speed of the machine: it reproduces a failure with some
luck only. So the console is kept.
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
from upparat.local.aws import LocalAws

from .world import DeviceWorld

CUTS = 5
"""Cuts of one update at the most: then it is left in peace."""

PHASES = {
    "power on": r"=== power on",
    "boot": r"boot: rootfs-[ab], permanent",
    "boot of the new version": r"boot: rootfs-[ab], trial",
    "agent, before the download": r"Upparat \S+ for |-> verify_job",
    "download": r"-> download",
    "installation": r"-> install",
    "restart": r"-> restart",
    "way down": r"reboot: Restarting|Received SIGTERM",
    "confirmation": r"-> verify_installation",
    "rollback": r"-> rollback",
    "after the end": r"(SUCCEEDED|FAILED) ",
}
"""What the console shows when a phase begins."""


def phase(console: str) -> str:
    """The phase of an update in which the console ends."""
    begun = {
        found.start(): name
        for name, pattern in PHASES.items()
        for found in re.finditer(pattern, console)
    }
    return begun[max(begun)]


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


class Campaign:
    """Updates one device until it has met so many cuts, or something is wrong."""

    def __init__(self, world: DeviceWorld, dice: Random, tally: Tally, span: float) -> None:
        self._world, self._dice, self._tally, self._span = world, dice, tally, span
        self._version = "1.0"
        self._since = 0

    def run(self, cuts: int) -> None:
        while self._tally.cuts.total() < cuts and not self._tally.violations:
            self._update(min(self._dice.randrange(1, CUTS + 1), cuts - self._tally.cuts.total()))

    def _update(self, cuts: int) -> None:
        world, old = self._world, self._version
        new = "2.0" if old == "1.0" else "1.0"
        job_id = f"job-{self._tally.ends.total() + 1}"
        world.release(job_id, new)
        self._since = len(world.machine.console)
        for _ in range(cuts):
            self._wait_for_the_moment()
            self._cut(job_id)
        try:
            ended = world.wait_for_end(job_id)
            self._tally.ends[f"{ended.status} {ended.state}"] += 1
            self._version = new if ended.status is Status.SUCCEEDED else old
            self._tally.violations += violations(world, job_id, self._version)
            # What was reported must also be true after one more cut.
            self._cut(job_id)
            world.machine.wait_for(r"Upparat \S+ for ", self._since)
            world.wait_until_up()
            self._tally.violations += violations(world, job_id, self._version)
        except AssertionError as error:
            self._tally.violations.append(f"{job_id}: {error}")

    def _wait_for_the_moment(self) -> None:
        machine, dice = self._world.machine, self._dice
        seconds = dice.uniform(0, self._span)
        name = dice.choice([*PHASES, "", "", ""])
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if name and phase(machine.console) == name:
                time.sleep(dice.uniform(0, 3))
                return
            time.sleep(0.05)

    def _cut(self, job_id: str) -> None:
        machine, tally = self._world.machine, self._tally
        now = phase(machine.console[max(0, self._since - 200) :])
        loss = machine.cut_power(self._dice)
        tally.cuts[now] += 1
        tally.pages_lost[now] += loss.lost
        state = self._world.execution(job_id)
        print(
            f"{job_id} cut {tally.cuts.total()}: {now}; {state.status} {state.state}; "
            f"pages lost {loss.lost}, kept {loss.kept}",
            flush=True,
        )
        self._since = len(machine.console)
        machine.start()


def violations(world: DeviceWorld, job_id: str, version: str) -> list[str]:
    """What does not hold when a job has ended and the guest is up."""
    wrong = []
    slots = world.slots()
    if slots.version != version:
        wrong.append(f"{world.execution(job_id)}, and {slots.version} runs")
    if slots.permanent != slots.running or slots.trial:
        wrong.append(f"the boot loader will not start what runs: {slots}")
    left = world.machine.guest.run("find /var/lib/upparat -name '*.part' -o -name '*.file'").stdout
    if left:
        wrong.append(f"left: {left}")
    if re.search(r"X-Amz|Signature=", world.machine.console):
        wrong.append("the console shows a signed URL")
    return [f"{job_id}: {each}" for each in wrong]


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.device.cuts")
    parser.add_argument("--cuts", type=int, default=100)
    parser.add_argument("--seed", default=str(SystemRandom().randrange(10**9)))
    parser.add_argument("--span", type=float, default=90.0, help="seconds of an update")
    arguments = parser.parse_args(argv)
    directory = Path(tempfile.mkdtemp(prefix="upparat-device-"))
    print(f"seed {arguments.seed}, in {directory}", flush=True)
    tally = Tally()
    with LocalAws(directory / "aws") as aws:
        world = DeviceWorld(aws, directory / "device")
        with world.machine as machine:
            machine.start()
            Campaign(world, Random(arguments.seed), tally, arguments.span).run(arguments.cuts)
    print(f"seed {arguments.seed}: {dict(tally.ends)}\n{tally.table()}")
    print("\n".join(tally.violations) or "0 violations")
    if not tally.violations:
        shutil.rmtree(directory)
    return 1 if tally.violations else 0


if __name__ == "__main__":
    sys.exit(main())
