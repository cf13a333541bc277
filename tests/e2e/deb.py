"""The Debian package as it is installed: ``packaging/test-deb`` runs this in a root of Debian 13.

``UPPARAT_NEWER_DEB`` names a package of a newer version.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import upparat
from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.scripts import copy_file, wait_for_file
from tests.support.waiting import runs

CONFIG = "/etc/upparat/upparat.conf"


def ran(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def version() -> str:
    return ran("dpkg-query", "--show", "--showformat=${Version}", "upparat")


def test_the_package_is_what_is_tested() -> None:
    assert upparat.__file__ == "/usr/lib/python3/dist-packages/upparat/__init__.py"


def test_the_configuration_as_it_comes() -> None:
    assert ran("upparat", "check", "-c", CONFIG) == f"{CONFIG}: no problem found\n"


def test_systemd_finds_no_fault() -> None:
    """Nor do the pages lack that the unit names."""
    unit = "/usr/lib/systemd/system/upparat.service"
    ran = subprocess.run(
        ["systemd-analyze", "verify", unit], capture_output=True, text=True, check=False
    )
    assert (ran.returncode, ran.stdout, ran.stderr) == (0, "", "")


def test_systemd_finds_the_sandbox_as_tight_as_the_page_of_the_hooks_says() -> None:
    unit = "/usr/lib/systemd/system/upparat.service"
    ran("systemd-analyze", "security", "--offline=yes", "--threshold=39", "--no-pager", unit)


def test_the_plugin_and_the_reference() -> None:
    assert "Follow AWS IoT Jobs" in ran("twistd3", "--help")
    for place in ("man1/upparat.1.gz", "man5/upparat.conf.5.gz"):
        assert Path("/usr/share/man", place).exists()
    completed = ran("bash", "-c", ". /usr/share/bash-completion/completions/upparat; complete -p")
    assert "upparat" in completed


def test_an_upgrade_in_the_middle_of_a_job(updates: Updates) -> None:
    """The hook may be what upgrades the package, so it is not ended."""
    go_on = updates.hooks.directory / "go-on"
    updates.hooks.install([wait_for_file(go_on), copy_file(updates.hooks.installed_file)])
    agent = updates.start(console=True)
    updates.create()
    hook = updates.hooks.wait_for_call("install").pid
    pid, old = agent.pid, version()
    ran("dpkg", "--install", os.environ["UPPARAT_NEWER_DEB"])
    assert version() != old
    assert runs(hook)
    assert agent.living == pid
    go_on.touch()
    assert updates.end() == SUCCEEDED
    assert updates.installed == updates.file.content
