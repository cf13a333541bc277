"""The tools of the benchmark work; their figures are nobody's business here."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from unittest import mock

import pytest

from benchmarks import agent as bench_agent
from benchmarks import delta as bench_delta
from benchmarks import delta_data
from benchmarks.downloads import (
    CONGESTION,
    HEAD,
    Sample,
    Task,
    rows,
    shaped,
    upparat,
    upparat_at_first,
    urllib,
)
from tests.support.certs import make_certs
from tests.support.mosquitto import requires_mosquitto
from tests.support.nginx import Nginx, requires_nginx
from tests.support.shaped import requires_shaping
from tests.support.zchunk import requires_zck

pytestmark = pytest.mark.long


@requires_nginx
def test_our_ways_to_fetch(tmp_path: Path) -> None:
    certs = make_certs(tmp_path / "certs")
    content = bytes(range(256)) * 10_000
    here = tmp_path / "here"
    here.mkdir()
    with Nginx(tmp_path / "nginx", certs) as server:
        (server.root / "file").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        task = Task(server.url("file", tls=True), here, sha256, certs.cafile)
        sample = upparat(task)
        assert (here / "job").read_bytes() == content
        assert min(sample.wall, sample.cpu, sample.resident or 0) > 0
        (here / "job").unlink()
        assert upparat_at_first(task).wall > 0
        assert (here / "job").read_bytes() == content
        assert urllib(task).wall > 0
        assert (here / "file").read_bytes() == content


def test_rows() -> None:
    samples = {
        "upparat": [Sample(2.0, 3.0, 2048, [0.001] * 99), Sample(4.0, 4.0, 1024, [0.004])],
        "curl": [Sample(1.0, 1.0), Sample(1.0, 2.0)],
    }
    ours, curl = rows(samples)
    told = "3.00 s | 3.00 (2.00 to 4.00) | 2.50 | 2.0 MiB | 1.0 ms | 4.0 ms"
    assert ours == f"| upparat | SHA-256, synced | {told} |"
    assert curl == "| curl | synced | 1.00 s | 1.00 (1.00 to 1.00) | 1.00 |  |  |  |"
    assert ours.count("|") == curl.count("|") == HEAD.splitlines()[0].count("|")


@pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl: apt-get install curl")
@requires_nginx
@requires_shaping
def test_a_slow_line(tmp_path: Path) -> None:
    told = list(shaped(tmp_path, 1, 1, CONGESTION[:1]))
    assert len([line for line in told if line.startswith("| upparat |")]) == 1


def test_a_slow_line_that_cannot_be_had(tmp_path: Path) -> None:
    with mock.patch("benchmarks.downloads.can_be_shaped", return_value=False):
        [told] = shaped(tmp_path, 1, 1)
    assert "Not measured" in told


@requires_zck
@requires_nginx
def test_deltas(tmp_path: Path) -> None:
    data = tmp_path / "data"
    few = mock.patch.object(delta_data, "SOURCES", (Path("/usr/bin"),))
    with few, mock.patch.object(delta_data, "CHANGES", (5,)):
        delta_data.make(data, 24)
        tables = "\n".join(bench_delta.near(tmp_path / "near", data, 24)).split("\n### ")[1:]
    assert len(tables) == 3
    for table in tables:
        _, _, head, _, *rows = table.splitlines()
        assert {row.count("|") for row in rows} == {head.count("|")}
        cells = [row.split(" | ") for row in rows]
        sent = {name: float(size.removesuffix(" MiB")) for _, name, size, *_ in cells}
        assert 0 < sent["upparat, a delta"] < sent["upparat, the whole file"]
        assert sent["upparat, a delta"] <= 1.05 * sent["zckdl -s, unzck"]


def test_cold_start_and_idleness(tmp_path: Path) -> None:
    head, _, *rows = bench_agent.cold_starts(tmp_path / "start", 1)
    assert [row.count("|") for row in rows] == [head.count("|")] * 3
    *_, row = bench_agent.idle(tmp_path / "idle", 0.1)
    assert "MiB" in row


@pytest.mark.mosquitto
@requires_mosquitto
def test_jobs_and_queues(tmp_path: Path) -> None:
    *_, row = bench_agent.jobs(tmp_path / "jobs", 1)
    assert row.count("|") == 3
    head, _, *rows = bench_agent.queues(tmp_path / "queue", 1, burst=10, pending=2)
    assert [row.count("|") for row in rows] == [head.count("|")] * 4
