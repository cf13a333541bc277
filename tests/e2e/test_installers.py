"""The examples of installers, as ``docs/installers.md`` sets them up, run by the real agent."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.files import FileServer
from tests.support.pages import Installer
from tests.support.rauc import image, requires_rauc
from tests.support.waiting import wait_until
from tests.support.zchunk import requires_zck

pytestmark = pytest.mark.long

requires_dpkg = pytest.mark.skipif(
    shutil.which("dpkg-deb") is None, reason="dpkg-deb is not installed"
)
SYSTEMCTL = """#!/bin/sh
cd {root}
case $1 in
    restart) cp -L current/state running ;;
    is-active) cat running ;;
esac
"""


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
        self._page = Installer("An application", root.with_name("checkout"))
        self._page.set_up({})

    @property
    def hooks(self) -> dict[str, object]:
        path = f"{self.root}/bin:/usr/bin:/bin"
        return self._page.hooks({"PATH": path, "APPLICATION": str(self.root)})

    def package(self, state: str) -> bytes:
        """An application whose service is in this state when it was started."""
        here = self._page.directory
        (here / "application").mkdir()
        (here / "application" / "state").write_text(state)
        self._page.make("2.0")
        return (here / "application-2.0.tar.gz").read_bytes()

    @property
    def versions(self) -> set[str]:
        return {path.name for path in (self.root / "versions").iterdir()}

    @property
    def current(self) -> str:
        return (self.root / "current").readlink().name


class DpkgRoot:
    """Debian packages in a root of their own, by the real ``dpkg``.

    :param path: the root.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        database = path / "var" / "lib" / "dpkg"
        for name in ("info", "updates", "triggers"):
            (database / name).mkdir(parents=True)
        for name in ("status", "available", "lock-frontend"):
            (database / name).touch()
        own = f"--force-not-root --log={path}/dpkg.log"
        for program, options in (("dpkg", own), ("dpkg-query", "")):
            script = path / "tools" / program
            script.parent.mkdir(exist_ok=True)
            script.write_text(f'#!/bin/sh\nexec /usr/bin/{program} --root={path} {options} "$@"\n')
            script.chmod(0o755)

    def build(self, version: str) -> Path:
        """Return a package ``upparat-tool`` of this version."""
        tree = self.path.with_name(f"tool-{version}")
        content = tree / "usr" / "share" / "upparat-tool" / "version"
        content.parent.mkdir(parents=True)
        content.write_text(version)
        (tree / "DEBIAN").mkdir()
        (tree / "DEBIAN" / "control").write_text(
            f"Package: upparat-tool\nVersion: {version}\nArchitecture: all\n"
            "Maintainer: A Maker <maker@example.com>\nDescription: a test\n"
        )
        package = tree.with_suffix(".deb")
        self._run("dpkg-deb", "--build", str(tree), str(package))
        return package

    def install(self, package: Path) -> None:
        self._run(str(self.path / "tools" / "dpkg"), "--install", str(package))

    @property
    def installed(self) -> str:
        query = str(self.path / "tools" / "dpkg-query")
        return self._run(
            query, "--show", "--showformat=${db:Status-Status} ${Version}", "upparat-tool"
        )

    @property
    def hooks(self) -> dict[str, object]:
        page = Installer("Debian packages", self.path.with_name("checkout"))
        page.set_up({})
        options = page.hooks(
            {
                "PATH": f"{self.path}/tools:/usr/sbin:/usr/bin:/sbin:/bin",
                "DPKG_LOCK": str(self.path / "var" / "lib" / "dpkg" / "lock-frontend"),
            }
        )
        return {
            key: str(value).replace("my-program", "upparat-tool") for key, value in options.items()
        }

    @staticmethod
    def _run(*command: str) -> str:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def device(tmp_path: Path) -> Device:
    return Device(tmp_path / "application")


def test_an_application(updates: Updates, files: FileServer, device: Device) -> None:
    updates.file = files.add("/application-2.0.tar.gz", device.package("active"))
    updates.start(hooks=device.hooks)
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert device.current == "2.0-job-1"
    assert (device.root / "running").read_text() == "active"
    wait_until(lambda: device.versions == {"2.0-job-1"})


def test_an_application_that_does_not_start(
    updates: Updates, files: FileServer, device: Device
) -> None:
    updates.file = files.add("/application-2.0.tar.gz", device.package("failed"))
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


@requires_dpkg
def test_a_debian_package(updates: Updates, files: FileServer, tmp_path: Path) -> None:
    root = DpkgRoot(tmp_path / "root")
    root.install(root.build("1.0"))
    updates.file = files.add("/tool-2.0.deb", root.build("2.0").read_bytes())
    updates.start(hooks=root.hooks)
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert root.installed == "installed 2.0"
    assert (root.path / "usr/share/upparat-tool/version").read_text() == "2.0"


@requires_dpkg
def test_a_file_that_is_no_debian_package(updates: Updates, tmp_path: Path) -> None:
    root = DpkgRoot(tmp_path / "root")
    root.install(root.build("1.0"))
    updates.start(hooks=root.hooks)
    assert updates.run()[-1][:2] == ("FAILED", "installation_hook_failed")
    assert root.installed == "installed 1.0"


@requires_rauc
@requires_zck
def test_what_a_delta_of_a_bundle_costs(tmp_path: Path) -> None:
    rauc, delta = Installer("RAUC", tmp_path), Installer("What a delta costs", tmp_path)
    for version in ("1.0", "2.0"):
        (tmp_path / f"rootfs-{version}.img").write_bytes(image("running", version))
    rauc.make("1.0", FORMAT="plain")
    programs = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    told = delta.make("2.0", FORMAT="plain", PATH=programs)
    assert "chunks are new" in told
    assert "bytes in all" in told
