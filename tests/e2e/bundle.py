"""The bundle as a device unpacks it: ``make bundle-test`` runs this.

``UPPARAT_BUNDLE`` names a bundle for this Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import venv
from pathlib import Path

import pytest

from tests.e2e import readonly
from tests.e2e.readonly import requires_mounts
from tests.simulator.cloud import Cloud
from tests.support.files import File
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import Hooks


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("bundle")
    shutil.unpack_archive(os.environ["UPPARAT_BUNDLE"], directory)
    return directory / "upparat"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A Python without packages: all that runs in it comes from the bundle."""
    directory = tmp_path_factory.mktemp("python")
    venv.create(directory, symlinks=True)
    python = str(directory / "bin" / "python3")
    command = [python, "-c", "import upparat"]
    bare = subprocess.run(command, cwd="/", capture_output=True, check=False)
    assert b"ModuleNotFoundError" in bare.stderr
    return python


def test_twistd_has_the_plugin(unpacked: Path, python: str) -> None:
    command = [python, str(unpacked / "bin" / "twistd"), "--help"]
    ran = subprocess.run(command, cwd="/", capture_output=True, text=True, check=True)
    assert "Follow AWS IoT Jobs" in ran.stdout


@requires_mounts
def test_an_update_on_a_read_only_root(
    unpacked: Path,
    python: str,
    tmp_path: Path,
    broker: Mosquitto,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
) -> None:
    program = [python, str(unpacked / "bin" / "upparat")]
    readonly.update(program, tmp_path / "agent", broker, cloud, hooks, firmware)
