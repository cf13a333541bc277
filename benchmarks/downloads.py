"""The download beside its peers: ``python -m benchmarks.downloads [--help]``.

All fetch the same file from the same nginx on this machine, in turns, and each result is a ratio to
``curl -o`` and ``sync`` in the same turn. Then once more over a slow and lossy line. Prints tables;
``--write`` keeps them in ``docs/benchmarks.md``.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.certs import make_certs
from tests.support.nginx import Nginx
from tests.support.shaped import SERVER, ShapedLink, can_be_shaped

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs" / "benchmarks.md"
MIB = 1 << 20
PEER = "curl"


@dataclass(frozen=True)
class Sample:
    """Seconds of the clock and of the CPU; of ours also KiB of resident memory at the most, and
    how many seconds each tick of the reactor was late."""

    wall: float
    cpu: float
    resident: int | None = None
    late: Sequence[float] = ()


@dataclass(frozen=True)
class Task:
    """A file to fetch into a directory of its own.

    :param host: the words that run a command on the host that fetches.
    """

    url: str
    directory: Path
    sha256: str
    cafile: str
    host: Sequence[str] = ()


Method = Callable[[Task], Sample]


# --- ways to fetch ----------------------------------------------------------------------------


def _command(task: Task, *words: str) -> Sample:
    """A shell command with all its children."""
    command = [*task.host, "sh", "-ec", " ".join(words)]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = status
    assert status == 0, words
    return Sample(time.perf_counter() - begin, usage.ru_utime + usage.ru_stime)


def curl(task: Task, *then: str) -> Sample:
    trust = f"--cacert {task.cafile}" if task.url.startswith("https") else ""
    file = task.directory / "file"
    return _command(task, f"curl -sf {trust} -o {file} {task.url}; sync -d {file}", *then)


def curl_and_sum(task: Task) -> Sample:
    file = task.directory / "file"
    return curl(task, f"; echo '{task.sha256}  {file}' | sha256sum --check --quiet")


def wget(task: Task) -> Sample:
    file = task.directory / "file"
    trust = f"--ca-certificate={task.cafile}"
    return _command(task, f"wget -q {trust} -O {file} {task.url}; sync -d {file}")


def aria2c(task: Task) -> Sample:
    trust = f"--ca-certificate={task.cafile}"
    place = f"--dir={task.directory} --out=file"
    checked = f"--checksum=sha-256={task.sha256}"
    file = task.directory / "file"
    return _command(task, f"aria2c -q {trust} {place} {checked} {task.url}; sync -d {file}")


def _fetch(method: str, task: Task) -> Sample:
    words = [method, task.url, str(task.directory), task.sha256]
    told = subprocess.run(
        [*task.host, sys.executable, "-m", "benchmarks.fetch", *words, task.cafile],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    return Sample(**json.loads(told))


def upparat(task: Task) -> Sample:
    return _fetch("upparat", task)


def upparat_at_first(task: Task) -> Sample:
    return _fetch("upparat-at-first", task)


def urllib(task: Task) -> Sample:
    return _fetch("urllib", task)


METHODS: dict[str, tuple[str, Method]] = {
    "upparat": ("SHA-256, synced", upparat),
    "upparat, its first download": ("SHA-256, synced", upparat_at_first),
    PEER: ("synced", curl),
    "curl, sha256sum": ("SHA-256, synced", curl_and_sum),
    "wget": ("synced", wget),
    "aria2c": ("SHA-256, synced", aria2c),
    "urllib as in 1.x": ("synced every 100 KiB", urllib),
}
"""What each does, and how."""

OURS = ("upparat", "upparat, its first download", "urllib as in 1.x")


def methods() -> list[str]:
    """The names of those that are there."""
    return [name for name in METHODS if name in OURS or shutil.which(name.partition(",")[0])]


# --- runs -------------------------------------------------------------------------------------


def measure(
    task: Task,
    size: int,
    runs: int,
    names: Sequence[str] = (),
    prepare: Callable[[int], None] = lambda _: None,
) -> dict[str, list[Sample]]:
    """All methods in turn, so that a busy moment hits all of them; each turn begins with another
    one, so that what one leaves behind does not always hit the same.

    :param size: of the file, in MiB.
    :param names: those that are there if empty.
    :param prepare: called with the number of the turn before each one fetches.
    """
    samples: dict[str, list[Sample]] = {name: [] for name in names or methods()}
    for run in range(runs + 1):
        order = list(samples)
        for name in order[run % len(order) :] + order[: run % len(order)]:
            shutil.rmtree(task.directory, ignore_errors=True)
            task.directory.mkdir()
            os.sync()
            warm(task.directory, size)
            prepare(run)
            _, method = METHODS[name]
            sample = method(task)
            if run:  # the first one warms up
                samples[name].append(sample)
    shutil.rmtree(task.directory)
    return samples


def warm(directory: Path, size: int) -> None:
    """Have so many MiB of memory at hand that a file can go into.

    A virtual machine gives free pages back to its host after a while. Who gets them again pays for
    it many times over, and a device has no host.
    """
    path, chunk = directory / "warm", bytes(MIB)
    with path.open("wb", buffering=0) as stream:
        for _ in range(size):
            stream.write(chunk)
    path.unlink()


def rows(samples: dict[str, list[Sample]]) -> Iterator[str]:
    """One line for each method: medians, and the ratios to the peer with their spread."""
    for name, own in samples.items():
        pairs = list(zip(own, samples[PEER], strict=True))
        cells = [
            name,
            METHODS[name][0],
            f"{statistics.median(each.wall for each in own):.2f} s",
            _spread([mine.wall / peer.wall for mine, peer in pairs]),
            f"{statistics.median(mine.cpu / peer.cpu for mine, peer in pairs):.2f}",
            _resident(own),
            *_late(own),
        ]
        yield f"| {' | '.join(cells)} |"


def _spread(ratios: Sequence[float]) -> str:
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"


def _resident(samples: Sequence[Sample]) -> str:
    known = [each.resident for each in samples if each.resident is not None]
    return f"{max(known) / 1024:.1f} MiB" if known else ""


def _late(samples: Sequence[Sample]) -> tuple[str, str]:
    """In 99 of 100 ticks of all runs at the most, and in the worst one."""
    late = sorted(tick for each in samples for tick in each.late)
    if not late:
        return "", ""
    p99 = late[math.ceil(len(late) * 0.99) - 1]
    return f"{p99 * 1000:.1f} ms", f"{late[-1] * 1000:.1f} ms"


CONGESTION = ("bbr", "reno")
"""How TCP's senders react to losses: hardly, and strongly."""

LINE = "20 Mbit/s, 50 ms, 1 % loss"
"""What :class:`ShapedLink` is by itself."""

HEAD = """\
| | | time | ratio to curl | CPU, ratio | resident | reactor late, p99 | at worst |
|---|---|---|---|---|---|---|---|"""


def bench(directory: Path, sizes: Sequence[int], runs: int) -> Iterator[str]:
    """Markdown, line by line."""
    certs = make_certs(directory / "certs")
    with Nginx(directory / "nginx", certs) as server:
        for size in sizes:
            sha256 = _make(server.root / "file", size)
            for tls in (False, True):
                url = server.url("file", tls=tls)
                task = Task(url, directory / "here", sha256, certs.cafile)
                yield f"\n### {size} MiB over {'HTTPS' if tls else 'HTTP'}\n"
                yield HEAD
                yield from rows(measure(task, size, runs))


def shaped(
    directory: Path, size: int, runs: int, congestions: Sequence[str] = CONGESTION
) -> Iterator[str]:
    """The same over a line that is slow and lossy, beside the peer alone."""
    if not can_be_shaped():
        yield "\nNot measured: that needs root, /dev/net/tun and ip.\n"
        return
    certs = make_certs(directory / "certs", (SERVER,))
    for congestion in congestions:
        with (
            ShapedLink(congestion=congestion) as link,
            Nginx(directory / congestion, certs, SERVER, link.server) as server,
        ):
            sha256 = _make(server.root / "file", size)
            url = server.url("file", tls=True)
            task = Task(url, directory / "here", sha256, certs.cafile, link.client)
            yield f"\n### {size} MiB over HTTPS, {LINE}, {congestion}\n"
            yield HEAD
            yield from rows(measure(task, size, runs, ("upparat", PEER), link.seed))


def _make(path: Path, size: int) -> str:
    digest = hashlib.sha256()
    with path.open("wb") as stream:
        for _ in range(size):
            chunk = os.urandom(MIB)
            digest.update(chunk)
            stream.write(chunk)
    return digest.hexdigest()


def machine() -> str:
    model = next(
        (
            line.partition(":")[2].strip()
            for line in Path("/proc/cpuinfo").read_text().splitlines()
            if line.startswith("model name")
        ),
        platform.machine(),
    )
    python = f"Python {platform.python_version()}"
    return f"{os.cpu_count()} CPUs ({model}), {platform.system()}, {python}"


def tell(name: str, lines: Iterable[str], *, keep: bool) -> None:
    """Print lines as they come, and perhaps keep them in the docs."""
    told = []
    for line in lines:
        print(line, flush=True)
        told.append(line)
    if keep:
        write(name, told)


def write(name: str, lines: Sequence[str], docs: Path = DOCS) -> None:
    """Keep these lines in the docs, between the marks of this name."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, rest = docs.read_text(encoding="utf-8").split(begin)
    after = rest.split(end)[1]
    text = "\n".join(lines)
    docs.write_text(f"{before}{begin}\n{text}\n\n{end}{after}", encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.downloads")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--size", type=int, nargs="*", default=[64, 1024], help="in MiB")
    parser.add_argument("--shaped", type=int, default=8, help="for the slow line, in MiB; 0: none")
    parser.add_argument("--write", action="store_true", help="keep the tables in the docs")
    arguments = parser.parse_args(argv)
    with tempfile.TemporaryDirectory(prefix="upparat-bench-") as name:
        near = bench(Path(name, "near"), arguments.size, arguments.runs)
        far = shaped(Path(name, "far"), arguments.shaped, arguments.runs)
        parts = {"downloads": near} if arguments.size else {}
        if arguments.shaped:
            parts["line"] = far
        head = f"{machine()}; medians of {arguments.runs} runs."
        for part, lines in parts.items():
            tell(part, itertools.chain([head], lines), keep=arguments.write)
    return 0


if __name__ == "__main__":
    sys.exit(main())
