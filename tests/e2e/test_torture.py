"""A small part of what ``make torture`` does; ``make sweep`` prints the seed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.support.mosquitto import requires_mosquitto
from tests.torture import torture

KILLS = 60


@pytest.mark.mosquitto
@requires_mosquitto
def test_killed_at_random(tmp_path: Path) -> None:
    tally = torture(tmp_path, os.environ["UPPARAT_SEED"], KILLS, workers=3)
    assert tally.violations == []
    assert tally.kills >= KILLS
