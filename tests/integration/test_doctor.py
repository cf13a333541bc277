"""``upparat doctor`` in broken worlds: it says what docs/doctor.md tells.

``make test`` plays a quarter of the worlds, always the same.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import doctor_table
from tests.support.doctor_worlds import (
    WORLDS,
    BrokenWorld,
    CannotBeMade,
)
from tests.support.mosquitto import requires_mosquitto
from tests.support.tinyproxy import requires_tinyproxy

PAGE = doctor_table.PAGE.read_text(encoding="utf-8")


@requires_mosquitto
@requires_tinyproxy
@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(broken, id=broken.title, marks=[pytest.mark.long] if number % 4 else [])
        for number, broken in enumerate(WORLDS)
    ],
)
def test_a_broken_world(broken: BrokenWorld, tmp_path: Path) -> None:
    try:
        said = doctor_table.played(broken, tmp_path)
    except CannotBeMade as reason:
        pytest.skip(str(reason))
    assert said == doctor_table.rows(PAGE).get(broken.title), (
        "Run python -m tests.support.doctor_table --write"
    )


def test_the_table_has_a_row_for_each_world() -> None:
    assert list(doctor_table.rows(PAGE)) == [broken.title for broken in WORLDS]
    page = doctor_table.written(PAGE, {"one": "| one | `ok` |"})
    assert doctor_table.rows(page) == {"one": "| one | `ok` |"}


def test_the_page_describes_each_finding() -> None:
    """By its name, without the number or the hook at its end."""
    described = set(re.findall(r"^\| `([a-z_ ]+?)(?: …)?`", PAGE, re.MULTILINE))
    described |= set(re.findall(r", `([a-z_ ]+) …`", PAGE))
    found = {name.removesuffix(" install") for broken in WORLDS for name in broken.steps}
    assert found - described == set()
