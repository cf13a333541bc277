"""Updates by deltas: the real agent, the real ``zck``, and the bytes that the server has sent."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.files import File, FileServer, Request
from tests.support.scripts import copy_file, swallow
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import signed
from tests.support.zchunk import changed, image, of_the_same_sum, requires_zck, zck
from upparat.delta.header import parse_header
from upparat.delta.plan import chunk_at

pytestmark = requires_zck

OLD = image()
NEW = changed(OLD, 500_000, 2_800_000)
FEW = len(NEW) // 20


class Release:
    """A file and its delta on the server."""

    def __init__(self, files: FileServer, directory: Path, name: str, content: bytes) -> None:
        self.file = files.add(f"/{name}.bin", content)
        self.delta = files.add(f"/{name}.zck", zck(directory, content))

    @property
    def members(self) -> dict[str, object]:
        return {
            "file": signed(self.file),
            "delta": signed(self.delta),
            "sha256": self.file.sha256,
            "size": len(self.file.content),
        }


def sent(*files: File) -> int:
    return sum(file.sent for file in files)


def begins(requests: Sequence[Request]) -> set[int]:
    """Where the ranges of chunks begin; that of the header begins at 0."""
    return {request.bounds[0] for request in requests if request.bounds} - {0}


@pytest.fixture
def old(files: FileServer, tmp_path: Path) -> Release:
    return Release(files, tmp_path, "old", OLD)


@pytest.fixture
def new(files: FileServer, tmp_path: Path) -> Release:
    return Release(files, tmp_path, "new", NEW)


@pytest.fixture
def seed(tmp_path: Path) -> Path:
    """The slot that the install hook writes, and the next update reads."""
    return tmp_path / "slot"


def install(updates: Updates, seed: Path, release: Release, job_id: str, version: str) -> None:
    """An update by a delta, after which the device runs this version."""
    updates.hooks.install([copy_file(updates.hooks.installed_file), copy_file(seed)])
    updates.hooks.restart([updates.hooks.become(version)])
    assert updates.run(job_id, version=version, **release.members)[-1] == SUCCEEDED[-1]
    assert updates.installed == release.file.content


def test_the_second_update_fetches_a_few_per_cent(
    updates: Updates, seed: Path, old: Release, new: Release
) -> None:
    updates.start(delta={"seeds": seed})
    install(updates, seed, old, "job-1", "1.5")
    install(updates, seed, new, "job-2", "2.0")
    assert sent(old.file, new.file) == 0
    assert sent(new.delta) < FEW
    last = [step for step in updates.cloud.history("job-2") if step[1] == "download_progress"][-1]
    figures = json.loads(last[2])
    assert figures["downloaded_bytes"] == figures["total_bytes"] == len(NEW)
    assert len(NEW) - FEW < figures["reused_bytes"] < len(NEW)
    assert updates.agent is not None
    assert "the delta took" in updates.agent.log


def test_the_last_file_is_kept_as_a_seed(updates: Updates, old: Release, new: Release) -> None:
    agent = updates.start(delta={"keep": "yes"})
    install(updates, agent.directory / "slot", old, "job-1", "1.5")
    install(updates, agent.directory / "slot", new, "job-2", "2.0")
    assert sent(new.file) == 0
    assert sent(new.delta) < FEW
    kept = agent.directory / "downloads" / "upparat" / "kept.artifact"
    assert kept.read_bytes() == NEW


def test_a_changed_seed_costs_chunks(
    updates: Updates, seed: Path, old: Release, new: Release
) -> None:
    updates.start(delta={"seeds": seed})
    install(updates, seed, old, "job-1", "1.5")
    seed.write_bytes(bytes(200_000) + OLD[200_000:])
    install(updates, seed, new, "job-2", "2.0")
    assert sent(new.file) == 0
    assert 100_000 < sent(new.delta) < 300_000 + FEW


def test_into_the_stdin_of_the_install_hook(
    updates: Updates, seed: Path, old: Release, new: Release
) -> None:
    updates.start(delta={"seeds": seed}, hooks={"install_stream": "yes"})
    for number, release in enumerate((old, new), 1):
        updates.hooks.install([swallow(seed.with_suffix(".b"))])
        updates.hooks.restart([updates.hooks.become(f"2.{number}")])
        members = release.members
        assert updates.run(f"job-{number}", version=f"2.{number}", **members)[-1] == SUCCEEDED[-1]
        assert seed.with_suffix(".b").read_bytes() == release.file.content
        seed.with_suffix(".b").replace(seed)
    assert sent(old.file, new.file) == 0
    assert sent(new.delta) < FEW


@pytest.mark.parametrize("stream", ["no", "yes"])
def test_a_changed_seed_that_its_sums_do_not_tell(
    updates: Updates, seed: Path, old: Release, new: Release, stream: str
) -> None:
    """The digest of the whole file does; then it is fetched."""
    agent = updates.start(delta={"seeds": seed}, hooks={"install_stream": stream})
    target = seed.with_suffix(".b")
    take = swallow if stream == "yes" else copy_file
    for number, release in enumerate((old, new), 1):
        updates.hooks.install([take(target)])
        updates.hooks.restart([updates.hooks.become(f"2.{number}")])
        members = release.members
        assert updates.run(f"job-{number}", version=f"2.{number}", **members)[-1] == SUCCEEDED[-1]
        assert target.read_bytes() == release.file.content
        seed.write_bytes(of_the_same_sum(release.file.content, 100_000))
    agent.wait_for_log("job-2: the delta is not used: it made another file than the job's")
    assert (sent(old.file), sent(new.file)) == (0, len(NEW))


def test_a_killed_agent_goes_on(updates: Updates, seed: Path, old: Release) -> None:
    agent = updates.start(delta={"seeds": seed})
    delta = old.delta
    chunks = parse_header(delta.content).chunks
    delta.stall(1000, times=-1, begin=chunks[len(chunks) // 2].begin)
    updates.create(version="2.0", **old.members)
    assert delta.stalled.wait(PATIENCE)
    parts = agent.directory / "downloads" / "upparat"
    wait_until(lambda: any(part.stat().st_size for part in parts.glob("*.part")))
    agent.kill()
    (part,) = parts.glob("*.part")
    rest = chunks[chunk_at(chunks, part.stat().st_size)].begin
    delta.release()
    done = len(delta.requests)
    agent.start()
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert updates.installed == OLD
    again = begins(delta.requests[done:])
    assert min(again) >= rest > chunks[0].begin, "what is in the file is not fetched again"
    assert sent(old.file) == 0


@pytest.mark.parametrize(
    "trouble",
    [
        "damaged",
        *(
            pytest.param(each, marks=pytest.mark.long)
            for each in ("404", "no ranges", "no such bytes", "another")
        ),
    ],
)
def test_without_a_delta_the_whole_file_comes(
    updates: Updates, seed: Path, old: Release, new: Release, trouble: str
) -> None:
    agent = updates.start(delta={"seeds": seed})
    install(updates, seed, old, "job-1", "1.5")
    delta = new.delta
    if trouble == "404":
        delta.status(404, times=-1)
    elif trouble == "no ranges":
        delta.ignore_range(times=-1)
    elif trouble == "no such bytes":
        delta.wrong_range(17, times=-1)
    elif trouble == "damaged":
        delta.content = delta.content[:50_000] + bytes(len(delta.content) - 50_000)
    else:
        delta.content = old.delta.content
    install(updates, seed, new, "job-2", "2.0")
    agent.wait_for_log("job-2: the delta is not used: ")
    assert sent(new.file) >= FEW
