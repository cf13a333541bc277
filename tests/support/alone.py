"""``upparat install`` as a process that is the agent itself, because none runs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .agent import Agent, Sections
from .waiting import PATIENCE


class AloneInstaller(Agent):
    """An install without an agent, in the directory of one.

    :param words: the arguments of ``upparat install`` besides the configuration file.
    """

    def __init__(self, directory: Path, sections: Sections, words: Sequence[object]) -> None:
        super().__init__(directory, sections, console=True)
        self.words = words

    @property
    def output_file(self) -> Path:
        """What it prints."""
        return self.directory / "install.out"

    @property
    def lines(self) -> list[str]:
        """What it has printed so far, over all starts."""
        return self.output_file.read_text().splitlines()

    def command(self) -> list[str]:
        program, *_ = super().command()
        return [program, "install", *map(str, self.words), "--config", str(self.config_file)]

    def end(self, timeout: float = PATIENCE) -> int:
        """Block until it has ended, and return its exit status."""
        return self.wait_exit(timeout)
