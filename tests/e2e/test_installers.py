"""The examples of installers, run by the real agent."""

from __future__ import annotations

import io
import shlex
import tarfile
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.files import FileServer
from tests.support.waiting import wait_until

APPLICATION = Path(__file__).parent.parent.parent / "examples" / "application"
SYSTEMCTL = """#!/bin/sh
cd {root}
case $1 in
    restart) cp -L current/state running ;;
    is-active) cat running ;;
esac
"""


def package(state: str) -> bytes:
    """An application whose service is in this state when it was started."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        member = tarfile.TarInfo("state")
        member.size = len(state)
        archive.addfile(member, io.BytesIO(state.encode()))
    return stream.getvalue()


class Device:
    """Version 1.0 of an application runs; ``systemctl`` is all that is not real.

    :param root: what is ``/opt/application`` elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        old = root / "versions" / "1.0-factory"
        old.mkdir(parents=True)
        (old / ".version").write_text("1.0\n")
        (old / "state").write_text("active")
        (root / "current").symlink_to("versions/1.0-factory")
        systemctl = root / "bin" / "systemctl"
        systemctl.parent.mkdir()
        systemctl.write_text(SYSTEMCTL.format(root=shlex.quote(str(root))))
        systemctl.chmod(0o755)

    @property
    def hooks(self) -> dict[str, object]:
        path = f"PATH={self.root}/bin:/usr/bin:/bin"
        env = ["/usr/bin/env", path, f"APPLICATION={self.root}"]
        return {hook.name: shlex.join([*env, str(hook)]) for hook in APPLICATION.iterdir()}

    @property
    def versions(self) -> set[str]:
        return {path.name for path in (self.root / "versions").iterdir()}

    @property
    def current(self) -> str:
        return (self.root / "current").readlink().name


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "application")


def test_an_application(updates: Updates, files: FileServer, device: Device) -> None:
    updates.file = files.add("/application-2.0.tar.gz", package("active"))
    updates.start(hooks=device.hooks)
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert device.current == "2.0-job-1"
    assert (device.root / "running").read_text() == "active"
    wait_until(lambda: device.versions == {"2.0-job-1"})


def test_an_application_that_does_not_start(
    updates: Updates, files: FileServer, device: Device
) -> None:
    updates.file = files.add("/application-2.0.tar.gz", package("failed"))
    updates.start(hooks=device.hooks)
    last = updates.run()[-1]
    assert last[:2] == ("FAILED", "ready_hook_failed")
    details = updates.cloud.updates("job-1")[-1].details
    assert (details["rollback"], details["running"]) == ("done", "1.0")
    assert (device.root / "running").read_text() == "active"
    assert device.current == "1.0-factory"
    wait_until(lambda: device.versions == {"1.0-factory"})


def test_a_file_that_is_no_archive(updates: Updates, device: Device) -> None:
    updates.start(hooks=device.hooks)
    assert updates.run()[-1][:2] == ("FAILED", "installation_hook_failed")
    wait_until(lambda: device.versions == {"1.0-factory"})
