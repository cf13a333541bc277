"""What packages add to the agent, and the agent as packages install it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

import twisted
from tests.e2e import readonly
from tests.e2e.readonly import requires_mounts
from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent
from tests.support.files import File
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import Hooks, copy_file, wait_for_file
from tests.support.waiting import PATIENCE, wait_until

pytestmark = pytest.mark.long

ROOT = Path(__file__).parent.parent.parent
RESTART_WHEN_IDLE = ROOT / "packaging" / "restart-when-idle"

# --- the restart after an upgrade -----------------------------------------------------------------


class Waiting:
    """``restart-when-idle`` as a process, with a ``systemctl`` that notes what it is asked for.

    :param directory: for its programs and its notes.
    """

    def __init__(self, directory: Path, agent: Agent) -> None:
        self.told = directory / "told"
        self._asked = directory / "asked"
        upparat = Path(sys.executable).parent / "upparat"
        programs = {
            "systemctl": f'echo "$@" >>{self._asked}',
            "upparat": f'{upparat} "$@" 2>&1 | tee {self.told}',
        }
        for name, line in programs.items():
            (directory / name).write_text(f"#!/bin/sh\n{line}\n")
            (directory / name).chmod(0o755)
        self._process = subprocess.Popen(
            [str(RESTART_WHEN_IDLE), str(agent.config_file)],
            env={**os.environ, "PATH": f"{directory}{os.pathsep}{os.environ['PATH']}"},
            stderr=subprocess.PIPE,
            text=True,
        )

    @property
    def asked(self) -> str:
        return self._asked.read_text() if self._asked.exists() else ""

    def wait_for(self, text: str) -> None:
        """Wait until the agent has told this."""
        wait_until(lambda: self.told.exists() and text in self.told.read_text())

    def end(self) -> str:
        """Wait for its end, and return its stderr."""
        _, complaint = self._process.communicate(timeout=PATIENCE)
        assert self._process.returncode == 0
        return complaint


@pytest.fixture
def bin() -> Iterator[Path]:
    """A directory for programs, whose path is short enough for a socket."""
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory)


def test_the_service_is_restarted_after_the_job(updates: Updates, bin: Path) -> None:
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on), copy_file(updates.hooks.installed_file)])
    agent = updates.start(control={"socket": bin / "socket"})
    updates.create()
    updates.hooks.wait_for_call("install")
    waiting = Waiting(bin, agent)
    waiting.wait_for('"state": "install"')
    assert waiting.asked == ""
    go_on.touch()
    assert updates.end() == SUCCEEDED
    waiting.end()
    assert waiting.asked == "try-restart upparat.service\n"


def test_a_service_that_does_not_answer_is_left_alone(updates: Updates, bin: Path) -> None:
    device = updates.start(control={"socket": "off"})
    device.wait_for_log("-> monitor")
    waiting = Waiting(bin, device)
    assert "was not restarted" in waiting.end()
    assert waiting.asked == ""


# --- wheel and sdist ------------------------------------------------------------------------------

BUILD = """
import sys
from setuptools import build_meta
print(getattr(build_meta, sys.argv[1])(sys.argv[2]))
"""


def build(kind: str, source: Path, target: Path) -> Path:
    """Run setuptools as pip does, without an environment of its own, which would need a network."""
    command = [sys.executable, "-c", BUILD, f"build_{kind}", str(target)]
    built = subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    return target / built.stdout.splitlines()[-1]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel that is built of the sdist."""
    directory = tmp_path_factory.mktemp("wheel")
    checkout = directory / "checkout"
    leftovers = ("build", "dist", "*.egg-info", "__pycache__", "_trial_temp*")
    ignored = shutil.ignore_patterns(".*", *leftovers)
    shutil.copytree(ROOT, checkout, ignore=ignored)
    sdist = build("sdist", checkout, directory)
    shutil.unpack_archive(sdist, directory)
    return build("wheel", directory / sdist.name.removesuffix(".tar.gz"), directory)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The scripts of an environment with the wheel, and with what it requires, but no checkout."""
    directory = tmp_path_factory.mktemp("installed")
    venv.create(directory, symlinks=True)
    [packages] = directory.glob("lib/python*/site-packages")
    # A path in such a file is only a path: the checkout that is installed there stays away.
    requirements = Path(twisted.__file__).parent.parent
    (packages / "requirements.pth").write_text(f"{requirements}\n")
    python = str(directory / "bin" / "python")
    pip = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps"]
    subprocess.run([*pip, "--no-index", "--disable-pip-version-check", str(wheel)], check=True)
    (directory / "bin" / "twistd").write_text(
        f"#!{python}\nfrom twisted.scripts.twistd import run\nrun()\n"
    )
    (directory / "bin" / "twistd").chmod(0o755)
    return directory / "bin"


def test_the_wheel_is_complete(installed: Path) -> None:
    def ran(*command: str) -> str:
        return subprocess.run(command, cwd="/", capture_output=True, text=True, check=True).stdout

    place = ran(str(installed / "python"), "-c", "import upparat; print(upparat.__file__)")
    assert place.startswith(str(installed.parent))
    assert "Follow AWS IoT Jobs" in ran(str(installed / "twistd"), "--help")
    for verb in ("check", "status", "doctor", "sign"):
        assert f"usage: upparat {verb} " in ran(str(installed / "upparat"), verb, "--help")
    [packages] = installed.parent.glob("lib/python*/site-packages")
    checkout = {path.relative_to(ROOT) for path in (ROOT / "upparat").rglob("*.py")}
    assert checkout == {path.relative_to(packages) for path in packages.glob("upparat/**/*.py")}


# --- a read-only root -----------------------------------------------------------------------------


@requires_mounts
def test_an_update_on_a_read_only_root(
    installed: Path, tmp_path: Path, broker: Mosquitto, cloud: Cloud, hooks: Hooks, firmware: File
) -> None:
    program = [str(installed / "upparat")]
    readonly.update(program, tmp_path / "agent", broker, cloud, hooks, firmware)
