"""A disk whose power is cut loses what was not flushed, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from .cache import MAX_DIRTY, PAGE, CachedDisk, Loss

SIZE = 4 * PAGE


class Unlucky(Random):
    """Keeps nothing that is not flushed."""

    def choice(self, chances: object) -> float:  # type: ignore[override]
        return 0.0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[CachedDisk]:
    (tmp_path / "disk").write_bytes(b"." * SIZE)
    with CachedDisk(tmp_path / "disk") as disk:
        yield disk


def test_a_write_is_read_before_it_is_flushed(disk: CachedDisk, tmp_path: Path) -> None:
    disk.write(10, b"across" * 1000)
    assert disk.read(0, 16) == b"." * 10 + b"across"
    assert disk.read(10, 6000) == b"across" * 1000
    assert disk.read(6010, 4) == b"...."
    assert (tmp_path / "disk").read_bytes() == b"." * SIZE


def test_a_cut_loses_what_is_not_flushed(disk: CachedDisk) -> None:
    disk.write(0, b"flushed")
    disk.flush()
    disk.write(PAGE, b"through", through=True)
    disk.write(2 * PAGE, b"lost")
    assert disk.cut_power(Unlucky()) == Loss(kept=0, lost=1)
    assert disk.read(0, 7) == b"flushed"
    assert disk.read(PAGE, 7) == b"through"
    assert disk.read(2 * PAGE, 4) == b"...."


def test_each_seed_loses_the_same(tmp_path: Path) -> None:
    def cut(seed: int) -> bytes:
        (tmp_path / "disk").write_bytes(bytes(SIZE * 16))
        with CachedDisk(tmp_path / "disk") as disk:
            disk.write(0, b"x" * SIZE * 16)
            disk.cut_power(Random(seed))
        return (tmp_path / "disk").read_bytes()

    seeds = range(8)
    assert [cut(seed) for seed in seeds] == [cut(seed) for seed in seeds]
    assert any(0 < cut(seed).count(b"x" * PAGE) < 64 for seed in seeds)


def test_a_full_cache_writes_out_its_oldest_pages(tmp_path: Path) -> None:
    path = tmp_path / "disk"
    path.write_bytes(bytes((MAX_DIRTY + 1) * PAGE))
    with CachedDisk(path) as disk:
        disk.write(0, b"x" * (MAX_DIRTY + 1) * PAGE)
        disk.cut_power(Unlucky())
        assert disk.read(0, PAGE + 1) == b"x" * PAGE + b"\0"


def test_the_end_writes_all(tmp_path: Path) -> None:
    (tmp_path / "disk").write_bytes(b"." * SIZE)
    with CachedDisk(tmp_path / "disk") as disk:
        disk.write(0, b"written")
    assert (tmp_path / "disk").read_bytes().startswith(b"written.")
