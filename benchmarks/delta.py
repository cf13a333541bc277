"""Deltas beside their peers: ``python -m benchmarks.delta [--help]``.

A device with one version of an image gets another one, from nginx on this machine and once more
over a slow line. Prints tables; ``--write`` keeps them in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.certs import make_certs
from tests.support.nginx import Nginx
from tests.support.shaped import SERVER, ShapedLink, can_be_shaped
from upparat.delta.local import read_header
from upparat.delta.plan import runs
from upparat.delta.seeds import Seeds
from upparat.delta.tables import ChunkTables, Table, table_of

from .delta_data import EXT4, KINDS, MIB, Version, make, old, versions
from .downloads import ROOT, machine, tell

SLOW = (0, 1, 5, 20)
"""Changes in per cent that the slow line has to bring."""

RATE = 10e6
"""Bits a second of the slow line."""

OTHERS = (1, 5)
"""Changes in per cent of squashfs and tar."""


@dataclass(frozen=True)
class Cost:
    """What one update has cost: bytes on the wire, seconds of the clock and of the CPU, and KiB of
    resident memory at the most."""

    sent: int
    wall: float
    cpu: float
    resident: int


class Device:
    """What a device has: the old version, and a directory for the new one.

    :param host: the words that run a command on the host that fetches.
    """

    def __init__(
        self,
        directory: Path,
        data: Path,
        server: Nginx,
        host: Sequence[str] = (),
        kind: str = EXT4,
    ) -> None:
        self._server, self._host = server, host
        self.here = directory / "here"
        self.tables = directory / "tables"
        self.seed = old(data, kind)
        self.table = table_after_update(self.seed)
        self.sent = 0
        self.versions = versions(data, kind)
        for _, version in self.versions:
            for file in (version.image, version.zck, version.patch):
                if file.exists():
                    (server.root / file.name).symlink_to(file)

    def url(self, file: Path) -> str:
        return self._server.url(file.name)

    def run(self, method: Callable[[Device, Version], Cost], version: Version) -> Cost:
        shutil.rmtree(self.here, ignore_errors=True)
        self.here.mkdir()
        shutil.rmtree(self.tables, ignore_errors=True)
        ChunkTables(self.tables).add(self.table)
        os.sync()
        self._server.forget()
        cost = method(self, version)
        self.sent = cost.sent or self._server.sent()
        return Cost(self.sent, cost.wall, cost.cpu, cost.resident)

    def command(self, command: str) -> tuple[Cost, str]:
        """Run a shell command. Returns what it prints as well."""
        return self._told("benchmarks.measured", str(self.here), command)

    def python(self, module: str, *words: str) -> Cost:
        """Run a module that tells what it has cost."""
        return self._told(module, *words)[0]

    def _told(self, module: str, *words: str) -> tuple[Cost, str]:
        told = subprocess.run(
            [*self._host, sys.executable, "-m", module, *words],
            cwd=ROOT,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        facts = json.loads(told)
        cost = Cost(0, facts["wall"], facts["cpu"], facts["resident"])
        return cost, facts.get("told", "")


def table_after_update(version: Version) -> Table:
    """The table of a version that a device has brought by a delta: it knows the sums of chunks."""
    header = read_header(version.zck)
    seeds = Seeds([version.image], [table_of(header)], header)
    for run in runs(header.chunks, 0, len(header.chunks)):
        seeds.read(header.chunks[run.first : run.last])
    return table_of(header, seeds.sums)


# --- ways to the new version ------------------------------------------------------------------


def by_delta(device: Device, version: Version) -> Cost:
    urls = device.url(version.image), device.url(version.zck)
    rest = str(device.here), version.sha256, str(device.seed.image), str(device.tables)
    return device.python("benchmarks.fetch_delta", *urls, *rest)


def by_delta_cold(device: Device, version: Version) -> Cost:
    with device.seed.image.open("rb") as stream:
        os.posix_fadvise(stream.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    return by_delta(device, version)


def whole(device: Device, version: Version) -> Cost:
    words = "upparat", device.url(version.image), str(device.here), version.sha256
    return device.python("benchmarks.fetch", *words)


def zckdl(device: Device, version: Version) -> Cost:
    fetched = f"zckdl -q -s {device.seed.zck} {device.url(version.zck)}"
    return device.command(f"{fetched}; unzck --stdout {version.zck.name} >file; sync -d file")[0]


def xdelta3(device: Device, version: Version) -> Cost:
    fetched = f"curl -sf {device.url(version.patch)}"
    size = version.image.stat().st_size
    patched = f"xdelta3 -d -c -B {size} -s {device.seed.image}"
    return device.command(f"{fetched} | {patched} >file; sync -d file")[0]


def curl(device: Device, version: Version) -> Cost:
    """As many bytes in a row as the run before has fetched: what the line can do."""
    last = device.sent - 1
    return device.command(f"curl -sf -r 0-{last} -o file {device.url(version.zck)}")[0]


def rsync(device: Device, version: Version) -> Cost:
    """From this machine, because a daemon would be one more server: the bytes are what it says."""
    shutil.copyfile(device.seed.image, device.here / "file")
    os.sync()
    words = "rsync -I -z --no-whole-file --stats"
    cost, told = device.command(f"{words} {version.image} {device.here}/file; sync -d file")
    totals = [line.partition(": ")[2] for line in told.splitlines() if "Total bytes" in line]
    sent = sum(int(total.replace(",", "")) for total in totals)
    return Cost(sent, cost.wall, cost.cpu, cost.resident)


METHODS: dict[str, Callable[[Device, Version], Cost]] = {
    "upparat, a delta": by_delta,
    "upparat, a delta, cold seed": by_delta_cold,
    "upparat, the whole file": whole,
    "zckdl -s, unzck": zckdl,
    "curl, xdelta3 -d": xdelta3,
    "curl, as many bytes": curl,
    "rsync -z": rsync,
}

NEAR = tuple(name for name in METHODS if name != "curl, as many bytes")
SOME = ("upparat, a delta", "upparat, the whole file", "zckdl -s, unzck")
FAR = ("upparat, a delta", "curl, as many bytes", "zckdl -s, unzck", "curl, xdelta3 -d")


def there(names: Sequence[str]) -> list[str]:
    """Those whose last program is here."""
    programs = {"zckdl -s, unzck": "zckdl", "curl, xdelta3 -d": "xdelta3", "rsync -z": "rsync"}
    return [name for name in names if name not in programs or shutil.which(programs[name])]


# --- tables -----------------------------------------------------------------------------------

HEAD = """\
| changed | | bytes | time | CPU | resident |
|---|---|---|---|---|---|"""

FAR_HEAD = """\
| changed | | bytes | time | CPU | resident | time / (bytes / rate) |
|---|---|---|---|---|---|---|"""


def rows(
    device: Device, changes: Sequence[int], names: Sequence[str], rate: float = 0
) -> Iterator[str]:
    """One line for each change and method.

    :param rate: of the line in bits a second, to compare the time with.
    """
    for change, version in device.versions:
        for name in names if change in changes else ():
            cost = device.run(METHODS[name], version)
            cells = [
                f"{change} %",
                name,
                f"{cost.sent / MIB:.2f} MiB",
                f"{cost.wall:.2f} s",
                f"{cost.cpu:.2f} s",
                f"{cost.resident / 1024:.1f} MiB",
            ]
            if rate:
                cells.append(f"{cost.wall / (cost.sent * 8 / rate):.2f}")
            yield f"| {' | '.join(cells)} |"


def near(directory: Path, data: Path, size: int) -> Iterator[str]:
    """Markdown, line by line."""
    certs = make_certs(directory / "certs")
    with Nginx(directory / "nginx", certs) as server:
        for kind in KINDS:
            device = Device(directory, data, server, kind=kind)
            of = size if kind == EXT4 else device.seed.image.stat().st_size // MIB
            yield f"\n### {kind}, {of} MiB, over HTTP\n"
            yield HEAD
            if kind == EXT4:
                changes = [change for change, _ in device.versions]
                yield from rows(device, changes, there(NEAR))
            else:
                yield from rows(device, OTHERS, there(SOME))


def far(directory: Path, data: Path, size: int) -> Iterator[str]:
    if not can_be_shaped():
        yield "\nNot measured over a slow line: that needs root, /dev/net/tun and ip.\n"
        return
    certs = make_certs(directory / "certs", (SERVER,))
    yield f"\n### ext4, {size} MiB, over HTTP, 10 Mbit/s, 100 ms\n"
    yield FAR_HEAD
    with (
        ShapedLink(rtt=0.1, loss=0.0, rate=RATE) as link,
        Nginx(directory / "nginx", certs, SERVER, link.server) as server,
    ):
        device = Device(directory, data, server, link.client)
        yield from rows(device, SLOW, there(FAR), RATE)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.delta")
    parser.add_argument("--size", type=int, default=300, help="of the image, in MiB")
    parser.add_argument("--data", type=Path, help="keep the images in this directory")
    parser.add_argument("--write", action="store_true", help="keep the tables in the docs")
    arguments = parser.parse_args(argv)
    if shutil.which("zck") is None:
        print("Not measured: that needs zck (apt-get install zchunk).")
        return 0
    with tempfile.TemporaryDirectory(prefix="upparat-bench-") as name:
        data = (arguments.data or Path(name, "data")).absolute()
        make(data, arguments.size)
        lines = itertools.chain(
            [f"{machine()}."],
            near(Path(name, "near"), data, arguments.size),
            far(Path(name, "far"), data, arguments.size),
        )
        tell("delta", lines, keep=arguments.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
