"""One table says what differs between the machines."""

from __future__ import annotations

import pytest

from .hardware import TABLE, chosen, table


def test_a_row_without_a_choice() -> None:
    assert chosen({}).debian == "amd64"
    assert chosen({"UPPARAT_DEVICE_ARCH": ""}) == chosen({})
    assert chosen({}).build.name == "device-amd64"


def test_each_row_can_be_chosen() -> None:
    rows = table(TABLE.read_text())
    assert set(rows) == {"amd64", "arm64"}
    for name, row in rows.items():
        assert chosen({"UPPARAT_DEVICE_ARCH": name}) == row
        assert row.kernel.endswith(f"-{name}")
        assert row.patience >= 1


def test_a_machine_that_the_table_does_not_have() -> None:
    with pytest.raises(KeyError, match="m68k"):
        chosen({"UPPARAT_DEVICE_ARCH": "m68k"})
