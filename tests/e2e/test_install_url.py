"""The install hook fetches the file itself, from a URL of the agent: the example, and troubles."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_byhand import Install, bundled, ready
from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.agent import Agent
from tests.support.waiting import PATIENCE, wait_until
from upparat.ports import BY_INSTALLER

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "installer-fetches" / "install"
INSTALLING = ("IN_PROGRESS", "installation_start", BY_INSTALLER)
HALF = 50_000

pytestmark = pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")


class Fetching:
    """A device whose install hook is the example; it notes the URL of each run."""

    def __init__(self, updates: Updates, directory: Path) -> None:
        self.updates = updates
        self.images = directory / "images"
        self.images.mkdir()
        self.notes = directory / "notes"
        self.hook = directory / "fetching-hook"
        command = f'IMAGES={shlex.quote(str(self.images))} exec {shlex.quote(str(EXAMPLE))} "$@"'
        note = f'echo "$2 $4 $UPPARAT_URL $UPPARAT_FILE" >>{shlex.quote(str(self.notes))}'
        self.hook.write_text(f"#!/bin/sh\n{note}\n{command}\n")
        self.hook.chmod(0o755)
        updates.members["sha256"] = updates.file.sha256

    def start(self, **sections: Any) -> Agent:
        hooks = {"install_url": "yes", "install": self.hook, **sections.pop("hooks", {})}
        return self.updates.start(hooks=hooks, **sections)

    @property
    def runs(self) -> list[list[str]]:
        """The words that each run has noted."""
        text = self.notes.read_text() if self.notes.exists() else ""
        return [line.split() for line in text.splitlines()]

    @property
    def installed(self) -> bytes:
        return (self.images / "next").read_bytes()

    @property
    def part(self) -> Path:
        return self.images / f"{self.updates.file.sha256}.part"

    def stand_still(self) -> None:
        """A job whose file stays in the middle of its way."""
        file = self.updates.file
        file.fine()
        file.stall(HALF)
        self.updates.create()
        assert file.stalled.wait(PATIENCE)
        wait_until(lambda: self.part.exists() and self.part.stat().st_size > 0)


@pytest.fixture
def fetching(updates: Updates, tmp_path: Path) -> Fetching:
    return Fetching(updates, tmp_path)


def is_gone(url: str) -> bool:
    return subprocess.run(["curl", "-s", url], capture_output=True).returncode == 7


def test_the_example(fetching: Fetching) -> None:
    updates = fetching.updates
    device = fetching.start()
    history = updates.run()
    assert [step for step in history if step[1] != "installation_progress"] == [
        INSTALLING if step[1] == "installation_start" else step for step in SUCCEEDED
    ]
    assert fetching.installed == updates.file.content
    [[retry, url, in_environment, file]] = fetching.runs
    assert retry == "0"
    assert url == in_environment == file
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+/[\w-]{22}", url)
    assert is_gone(url)
    told = [message for _, state, message in updates.cloud.history("job-1") if "loaded" in message]
    size = len(updates.file.content)
    assert json.loads(told[-1]) == {"downloaded_bytes": size, "total_bytes": size}
    log = device.log
    assert "verification: installer" in log
    assert url.rpartition("/")[2] not in log
    assert list((device.directory / "downloads" / "upparat").glob("job*")) == []


def test_the_url_expires_in_the_middle(fetching: Fetching) -> None:
    """The connection of the hook does not notice: it asks once."""
    file = fetching.updates.file
    fetching.start()
    file.fine()
    file.cut(HALF)
    file.expire()
    history = fetching.updates.run()
    assert history[-1][:2] == ("SUCCEEDED", "complete_soft_restart")
    assert fetching.installed == file.content
    assert [request.range for request in file.requests] == [
        "bytes=0-0",
        "bytes=0-99999",
        f"bytes={HALF}-99999",
        f"bytes={HALF}-99999",
    ]
    queries = [request.query for request in file.requests]
    assert queries[0] == queries[2] != queries[3]
    assert len(fetching.runs) == 1


def test_the_agent_is_killed_in_mid_run(fetching: Fetching) -> None:
    """The hook runs again, and fetches the file from its first byte on."""
    fetching.updates.starts_over = True
    device = fetching.start(hooks={"retry_interval": 0.1})
    fetching.stand_still()
    device.kill()
    fetching.updates.file.release()
    device.start()
    history = fetching.updates.end()
    assert history[-1][:2] == ("SUCCEEDED", "complete_soft_restart")
    assert fetching.installed == fetching.updates.file.content
    [first, second] = fetching.runs
    assert (first[0], second[0]) == ("0", "1")
    assert first[1] != second[1]


@pytest.mark.long
def test_a_file_that_is_gone(fetching: Fetching) -> None:
    fetching.updates.file.status(404, times=-1)
    fetching.start()
    history = fetching.updates.run()
    assert history[-1] == ("FAILED", "download_failed", "HTTP 404 Not Found")


@pytest.mark.long
def test_a_file_of_another_size(fetching: Fetching) -> None:
    fetching.start()
    history = fetching.updates.run(size=5)
    message = "size: expected 5 bytes, the server has 100000"
    assert history[-1] == ("FAILED", "verification_failed", message)


@pytest.mark.long
def test_another_file(fetching: Fetching) -> None:
    """The installer says so: the agent does not know."""
    fetching.updates.members["sha256"] = "0" * 64
    fetching.start()
    history = fetching.updates.run()
    assert history[-1] == ("FAILED", "installation_hook_failed", "Exit code: 1")
    assert not (fetching.images / "next").exists()


@pytest.mark.long
def test_a_cancelled_job(fetching: Fetching) -> None:
    """The hook loses its URL, and ends by itself."""
    device = fetching.start()
    fetching.stand_still()
    [[_, url, *_]] = fetching.runs
    fetching.updates.cloud.cancel("job-1", force=True)
    wait_until(lambda: is_gone(url))
    fetching.updates.file.release()
    fetching.updates.create("job-2")
    assert fetching.updates.cloud.wait_for_end("job-2").state == "complete_soft_restart"
    assert fetching.installed == fetching.updates.file.content
    assert "job-1" in device.log


@pytest.mark.long
def test_a_file_of_the_device(fetching: Fetching, path: Path) -> None:
    """The hook gets a URL as well: there is one way for every file."""
    fetching.start(broker={"port": 1}, control={"socket": path, "mode": "0666"})
    ready(path)
    medium = path.parent / "update.bin"
    medium.write_bytes(b"2.0" * 100_000)
    assert Install(path, bundled(medium)).end().returncode == 0
    assert fetching.installed == medium.read_bytes()
    assert len(fetching.runs) == 1
