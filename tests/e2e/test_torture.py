"""A small part of what ``python -m tests.torture`` does; a failure prints the seed."""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from tests.support.mosquitto import requires_mosquitto
from tests.torture import torture, torture_on_local_aws

KILLS = 60


@pytest.mark.mosquitto
@requires_mosquitto
def test_killed_at_random(tmp_path: Path) -> None:
    seed = os.environ.get("UPPARAT_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"UPPARAT_SEED={seed}")
    tally = torture(tmp_path, seed, KILLS, workers=3)
    assert tally.violations == []
    assert tally.kills >= KILLS


def test_killed_at_random_on_the_local_aws(tmp_path: Path) -> None:
    seed = os.environ.get("UPPARAT_SEED") or str(random.SystemRandom().randrange(10**9))
    print(f"UPPARAT_SEED={seed}")
    kills, wrong = torture_on_local_aws(tmp_path, seed, 2)
    assert wrong == []
    assert kills >= 2
