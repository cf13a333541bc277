"""Pages of the docs whose commands a test runs."""

from __future__ import annotations

import configparser
import os
import re
import shlex
import subprocess
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
DEVICE = "sudo"
"""What commands on a device begin with."""
VERSION = "2.0"
"""The version that the page makes files of."""


class Installer:
    """A section of ``docs/installers.md``, followed in a directory.

    :param directory: the checkout, as far as the section needs it; ``/etc`` is in it as well.
    """

    def __init__(self, heading: str, directory: Path) -> None:
        page = (ROOT / "docs" / "installers.md").read_text(encoding="utf-8")
        pattern = rf"^## {re.escape(heading)}\n(.*?)(?=^## |\Z)"
        [self._text] = re.findall(pattern, page, re.DOTALL | re.MULTILINE)
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / "examples").exists():
            (directory / "examples").symlink_to(ROOT / "examples")
        self.make_keys()

    @property
    def etc(self) -> Path:
        return self.directory / "etc"

    def make_keys(self) -> None:
        """Run the commands that are for all versions, on the machine where files are made."""
        for block in self._blocks("sh"):
            if DEVICE not in block and VERSION not in block:
                self._run(block, {})

    def make(self, version: str, **environment: str) -> str:
        """Run the commands for a version there, and return what they print."""
        blocks = [block for block in self._blocks("sh") if VERSION in block]
        return "".join(self._run(block.replace(VERSION, version), environment) for block in blocks)

    def set_up(self, environment: Mapping[str, str]) -> None:
        """Run the commands on the device."""
        for block in self._blocks("sh"):
            if DEVICE in block:
                self._run(self._here(block.replace("sudo ", "")), environment)

    def hooks(self, environment: Mapping[str, str]) -> dict[str, object]:
        """The options of ``[hooks]``; each command has this environment."""
        [block] = self._blocks("ini")
        parser = configparser.ConfigParser()
        parser.read_string(self._here(block))
        env = shlex.join(
            ["/usr/bin/env", *(f"{key}={value}" for key, value in environment.items())]
        )
        options = parser["hooks"].items()
        return {key: f"{env} {value}" if value[0] == "/" else value for key, value in options}

    def _blocks(self, language: str) -> list[str]:
        found: list[str] = re.findall(
            rf"^```{language}\n(.*?)^```$", self._text, re.DOTALL | re.MULTILINE
        )
        return found

    def _here(self, text: str) -> str:
        return re.sub(r"(?<!\S)/etc/", f"{self.etc}/", text)

    def _run(self, block: str, environment: Mapping[str, str]) -> str:
        self.etc.mkdir(exist_ok=True)
        ran = subprocess.run(
            ["sh", "-euc", block],
            cwd=self.directory,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert ran.returncode == 0, (block, ran.stdout, ran.stderr)
        return ran.stdout
