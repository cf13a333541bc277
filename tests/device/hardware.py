"""The machine that QEMU emulates: a row of the table ``machines``, which the build reads too."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

TABLE = Path(__file__).with_name("machines")
DEFAULT = "amd64"


@dataclass(frozen=True)
class Hardware:
    """One row.

    :param debian: Debian's name of the architecture.
    :param kernel: the package of the kernel.
    :param qemu: the program.
    :param console: the serial console, as the kernel names it.
    :param patience: the factor of all time-outs.
    """

    debian: str
    kernel: str
    qemu: str
    machine: str
    processor: str
    console: str
    patience: float

    @property
    def build(self) -> Path:
        """The directory of what it boots."""
        return Path(f"build/device-{self.debian}").absolute()


def table(text: str) -> dict[str, Hardware]:
    hardware = {}
    for line in text.splitlines():
        if not line.startswith("#"):
            debian, kernel, qemu, machine, processor, console, patience = line.split()
            hardware[debian] = Hardware(
                debian, kernel, qemu, machine, processor, console, float(patience)
            )
    return hardware


def chosen(environment: Mapping[str, str] = os.environ) -> Hardware:
    """The machine of ``UPPARAT_DEVICE_ARCH``.

    :raises KeyError: if the table does not have it.
    """
    return table(TABLE.read_text())[environment.get("UPPARAT_DEVICE_ARCH") or DEFAULT]
