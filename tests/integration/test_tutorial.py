"""The commands of ``docs/tutorial.md``, in three terminals."""

from __future__ import annotations

import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import wait_until
from upparat.local.ministack import end_group

ROOT = Path(__file__).parent.parent.parent
ACTIVATE = ". .venv/bin/activate\n"
DELTAS = shutil.which("zck") is not None


def terminals() -> list[list[str]]:
    """The ``sh`` blocks of each terminal, in order, but for those that need a program which is not
    there."""
    text = (ROOT / "docs/tutorial.md").read_text(encoding="utf-8")
    return [
        [
            block
            for block in re.findall(r"^```sh\n(.*?)^```$", part, re.DOTALL | re.MULTILINE)
            if "--delta" not in block or DELTAS
        ]
        for part in re.split(r"^## Terminal ", text, flags=re.MULTILINE)[1:]
    ]


@contextlib.contextmanager
def running(block: str, checkout: Path) -> Iterator[None]:
    """A terminal in which a block stays in the foreground."""
    with (checkout / "terminal.log").open("ab") as log:
        process = subprocess.Popen(
            ["sh", "-c", block], cwd=checkout, stdout=log, stderr=log, start_new_session=True
        )
    try:
        yield
    finally:
        end_group(process)


def shown(block: str, checkout: Path) -> str:
    """The last line that a block prints, in a terminal that has run the first block before."""
    block = block.replace("sleep 10", "sleep 2")
    ran = subprocess.run(
        ["sh", "-c", ACTIVATE + block], cwd=checkout, capture_output=True, text=True, check=False
    )
    print(ran.stdout, ran.stderr)
    return ran.stdout.splitlines()[-1]


@pytest.mark.long
def test_each_job_ends_as_the_tutorial_says(tmp_path: Path) -> None:
    (tmp_path / ".venv").symlink_to(Path(sys.executable).parent.parent)
    [local], [agent], jobs = terminals()
    directory = tmp_path / "upparat-local"
    with running(local, tmp_path):
        wait_until((directory / "connection.json").exists)
        with running(agent, tmp_path):
            assert [shown(job, tmp_path) for job in jobs] == [
                "SUCCEEDED: complete_ready",
                "SUCCEEDED: version_already_installed",
                "SUCCEEDED: complete_ready",
                *(["SUCCEEDED: complete_ready"] if DELTAS else []),
                "FAILED: installation_hook_failed",
            ]
    assert (directory / "device/rootfs/firmware").read_bytes() == (
        tmp_path / "firmware.bin"
    ).read_bytes()
    assert ("from seeds, and fetched" in (tmp_path / "terminal.log").read_text()) is DELTAS
    assert "no such slot" in (tmp_path / "terminal.log").read_text()
