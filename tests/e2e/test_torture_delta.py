"""A small part of what ``make torture`` does to deltas; ``make sweep`` prints the seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.mosquitto import requires_mosquitto
from tests.support.zchunk import requires_zck
from tests.torture_delta import repeated, torture

KILLS = 20


@pytest.mark.mosquitto
@requires_mosquitto
@requires_zck
def test_killed_at_random(tmp_path: Path) -> None:
    tally = torture(tmp_path, os.environ["UPPARAT_SEED"], KILLS, workers=3)
    assert tally.violations == []
    assert tally.kills >= KILLS


def test_ranges_that_are_asked_for_again() -> None:
    lives = [[(0, 99), (100, 199), (200, 299)], [(0, 99), (150, 199), (300, 310)], [(300, 399)]]
    assert list(repeated(lives)) == [[], [(150, 199)], [(300, 399)]]
