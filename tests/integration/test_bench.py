"""The tools of the benchmark work; their figures are nobody's business here."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from tests import bench_agent
from tests.bench import HEAD, Sample, Task, rows, upparat, urllib
from tests.support.certs import make_certs
from tests.support.mosquitto import requires_mosquitto
from tests.support.nginx import Nginx, requires_nginx


@requires_nginx
@pytest.mark.parametrize("tls", [False, True])
def test_our_ways_to_fetch(tmp_path: Path, tls: bool) -> None:
    certs = make_certs(tmp_path / "certs")
    content = bytes(range(256)) * 10_000
    here = tmp_path / "here"
    here.mkdir()
    with Nginx(tmp_path / "nginx", certs) as server:
        (server.root / "file").write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        task = Task(server.url("file", tls=tls), here, sha256, certs.cafile)
        sample = upparat(task)
        assert (here / "job").read_bytes() == content
        assert min(sample.wall, sample.cpu, sample.resident or 0) > 0
        assert sample.p99 is not None
        assert urllib(task).wall > 0
        assert (here / "file").read_bytes() == content


def test_rows() -> None:
    samples = {
        "upparat": [Sample(2.0, 3.0, 2048, 0.001, 0.002), Sample(4.0, 4.0, 1024, 0.003, 0.004)],
        "curl": [Sample(1.0, 1.0), Sample(1.0, 2.0)],
    }
    ours, curl = rows(samples)
    told = "3.00 s | 3.00 (2.00 to 4.00) | 2.50 | 2.0 MiB | 3.0 ms | 4.0 ms"
    assert ours == f"| upparat | SHA-256, synced | {told} |"
    assert curl == "| curl | synced | 1.00 s | 1.00 (1.00 to 1.00) | 1.00 |  |  |  |"
    assert ours.count("|") == curl.count("|") == HEAD.splitlines()[0].count("|")


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
    head, _, *rows = bench_agent.queues(tmp_path / "queue", 1, burst=10)
    assert [row.count("|") for row in rows] == [head.count("|")] * 4
