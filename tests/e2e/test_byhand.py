"""Installs by hand, with the real agent: without a network, in mid-job, killed, rolled back."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.test_control import NOBODY, runs_hook, verb, wait_for, waits
from tests.e2e.updates import Updates
from tests.support.agent import Agent
from tests.support.disks import Mount, remount
from tests.support.mosquitto import Mosquitto
from tests.support.openssl import make_keys
from tests.support.scripts import copy_file, hang, leave, show, swallow, wait_for_file
from tests.support.waiting import PATIENCE, wait_until

UPDATE = bytes(range(256)) * 300
DAEMON = 1
NOWHERE = {"port": 1}
"""A broker that nobody can reach."""

Started = Callable[..., Agent]


@pytest.fixture
def start(updates: Updates, path: Path) -> Started:
    """Start an agent that everybody may ask."""

    def start(**sections: Any) -> Agent:
        control = {"socket": path, "mode": "0666"}
        return updates.start(control=control, **sections)

    return start


@pytest.fixture
def medium(path: Path) -> Path:
    """A file on a medium that every user can read."""
    file = path.parent / "app 2.0.bin"
    file.write_bytes(UPDATE)
    file.chmod(0o644)
    return file


def bundled(medium: Path, *words: object) -> Path:
    bundle = medium.parent / "update.upparat"
    made = verb("bundle", medium, "--version", "2.0", "-o", bundle, *words)
    assert (made.returncode, made.stderr) == (0, "")
    return bundle


class Install:
    """The verb, which runs in a thread."""

    def __init__(self, path: Path, *words: object, user: int | None = None) -> None:
        self.result: subprocess.CompletedProcess[str] | None = None
        self._words = ("install", *words, "--socket", path)
        self._user = user
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        self.result = verb(*self._words, user=self._user)

    def end(self) -> subprocess.CompletedProcess[str]:
        self._thread.join(PATIENCE)
        assert self.result is not None
        return self.result


def ended(path: Path) -> dict[str, Any]:
    """Block until the install is over, and return it as a job of the history."""
    found = wait_for(path, lambda status: status["history"] and not status["install"])
    past: dict[str, Any] = found["history"][0]
    return past


def ready(path: Path) -> None:
    wait_for(path, lambda status: True)


# --- without a network ----------------------------------------------------------------------------


def test_a_bundle_without_a_network(
    updates: Updates, start: Started, path: Path, medium: Path
) -> None:
    start(broker=NOWHERE)
    ready(path)
    install = Install(path, bundled(medium, "--meta", "words")).end()
    assert (install.returncode, install.stderr) == (0, "")
    assert "SUCCEEDED complete_soft_restart from 1.0" in install.stdout.splitlines()[-1]
    assert updates.installed == UPDATE
    job = updates.hooks.calls("install")[0].env
    assert job["UPPARAT_META"] == "words"
    assert job["UPPARAT_JOB_ID"].startswith("local@")
    again = Install(path, "--wait").end()
    assert (again.returncode, again.stdout.splitlines()) == (0, install.stdout.splitlines()[-1:])
    log = verb("log", job["UPPARAT_JOB_ID"], "--socket", path).stdout
    assert "is to be installed from" in log
    assert "by user 0, process " in log


def test_a_file_and_the_next_connection(
    updates: Updates, start: Started, path: Path, medium: Path
) -> None:
    start()
    wait_for(path, lambda status: status["state"] == "monitor")
    assert Install(path, medium, "--version", "2.0").end().returncode == 0
    updates.create()  # AWS does not know that the version is there
    assert updates.end() == [("SUCCEEDED", "version_already_installed", "none")]


def test_the_next_one_begins_after_the_cleanup(
    updates: Updates, start: Started, path: Path, medium: Path, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    updates.hooks.set("cleanup", [wait_for_file(go_on)], [])
    start(broker=NOWHERE)
    ready(path)
    first = Install(path, medium, "--version", "2.0")
    updates.hooks.wait_for_call("cleanup")
    second = Install(path, medium, "--version", "3.0").end()
    assert (second.returncode, second.stdout) == (75, "")
    assert "is not over yet" in second.stderr
    assert first.result is None
    go_on.touch()
    assert first.end().returncode == 0
    assert Install(path, medium, "--version", "2.0").end().returncode == 0
    assert "version_already_installed" in ended(path)["state"]


@pytest.mark.long
def test_the_inventory_is_told_at_the_next_connection(
    updates: Updates, start: Started, path: Path, medium: Path, broker: Mosquitto
) -> None:
    start(inventory={"package": "app"})
    told = updates.cloud.shadow.history
    updates.cloud.wait_for(lambda: [each["app"]["version"] for each in told] == ["1.0"])
    broker.stop()
    wait_for(path, waits("connection"))
    assert Install(path, medium, "--version", "2.0").end().returncode == 0
    broker.start()
    updates.cloud.wait_for(lambda: [each["app"]["version"] for each in told] == ["1.0", "2.0"])


def test_the_medium_is_removed_in_mid_install(
    updates: Updates, start: Started, path: Path, medium: Path, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    hooks = updates.hooks
    hooks.install([wait_for_file(go_on), copy_file(hooks.installed_file)])
    start(broker=NOWHERE)
    ready(path)
    install = Install(path, medium, "--version", "2.0")
    wait_for(path, runs_hook("install"))
    medium.unlink()
    go_on.touch()
    assert install.end().returncode == 0
    assert updates.installed == UPDATE


@pytest.mark.long
def test_a_stream(updates: Updates, start: Started, path: Path, medium: Path) -> None:
    updates.hooks.install([swallow(updates.hooks.installed_file)])
    start(broker=NOWHERE, hooks={"install_stream": "yes"})
    ready(path)
    assert Install(path, bundled(medium)).end().returncode == 0
    assert updates.installed == UPDATE


# --- what is refused ------------------------------------------------------------------------------


def test_a_flipped_byte(updates: Updates, start: Started, path: Path, medium: Path) -> None:
    start(broker=NOWHERE)
    ready(path)
    bundle = bundled(medium)
    content = bytearray(bundle.read_bytes())
    content[40_000] ^= 1
    bundle.write_bytes(bytes(content))
    install = Install(path, bundle).end()
    assert install.returncode == 3
    assert "FAILED verification_failed: sha256" in install.stdout.splitlines()[-1]
    assert updates.hooks.calls("install") == []
    content[2] ^= 1
    bundle.write_bytes(bytes(content))
    refused = Install(path, bundle).end()
    assert refused.returncode == 2
    assert "is no bundle" in refused.stderr


@pytest.mark.long
def test_signatures_are_required_here_too(
    updates: Updates, start: Started, path: Path, medium: Path, tmp_path: Path
) -> None:
    keys = make_keys(tmp_path, "ed25519")
    start(broker=NOWHERE, verify={"require": "signature", "public_keys": keys.public})
    ready(path)
    install = Install(path, bundled(medium)).end()
    assert install.returncode == 3
    assert "verification_failed: signature: is missing" in install.stdout
    assert updates.hooks.calls("install") == []
    assert Install(path, bundled(medium, "--sign", keys.private)).end().returncode == 0


@pytest.mark.long
def test_who_may_install(updates: Updates, start: Started, path: Path, medium: Path) -> None:
    device = start(broker=NOWHERE, policy={"users": "daemon"})
    ready(path)
    bundle = bundled(medium)
    refused = Install(path, bundle, user=NOBODY).end()
    assert (refused.returncode, refused.stdout) == (77, "")
    assert refused.stderr == f"upparat: user {NOBODY} may not decide: see [policy] users\n"
    assert updates.hooks.calls() == []
    assert Install(path, bundle, user=DAEMON).end().returncode == 0
    assert f"from {bundle}, by user {DAEMON}, process " in device.log


# --- beside AWS -----------------------------------------------------------------------------------


def test_in_mid_job(updates: Updates, start: Started, path: Path, medium: Path) -> None:
    start()
    wait_for(path, lambda status: status["state"] == "monitor")
    updates.stand_still(version="1.5")
    install = Install(path, medium, "--version", "2.0")
    found = wait_for(path, waits("other_job"))
    assert found["job"]["id"] == "job-1"
    [why] = [wait["why"] for wait in found["waiting"] if wait["for"] == "other_job"]
    assert why == f"{found['install']} waits until job job-1 is over"
    other = Install(path, medium, "--version", "3.0").end()
    assert (other.returncode, other.stderr) == (
        75,
        f"upparat: {found['install']} is not over yet\n",
    )
    updates.cloud.cancel("job-1", force=True)
    assert install.end().returncode == 0
    assert updates.installed == UPDATE


@pytest.mark.long
def test_the_job_has_ended_while_the_agent_was_away(
    updates: Updates, start: Started, path: Path, medium: Path
) -> None:
    device = start()
    wait_for(path, lambda status: status["state"] == "monitor")
    updates.stand_still(version="1.5")
    assert Install(path, medium, "--version", "2.0", "--no-wait").end().returncode == 0
    device.kill()
    updates.cloud.cancel("job-1", force=True)
    device.start()
    assert ended(path)["status"] == "SUCCEEDED"
    assert updates.installed == UPDATE


def test_a_job_waits_for_an_install(
    updates: Updates, start: Started, path: Path, medium: Path, tmp_path: Path
) -> None:
    go_on = tmp_path / "go on"
    updates.hooks.install([wait_for_file(go_on)])
    start()
    wait_for(path, lambda status: status["state"] == "monitor")
    install = Install(path, medium, "--version", "2.0")
    wait_for(path, runs_hook("install"))
    updates.create()
    assert updates.cloud.history("job-1") == []
    go_on.touch()
    assert install.end().returncode == 0
    assert updates.end() == [("SUCCEEDED", "version_already_installed", "none")]


# --- crashes, and roll-backs ----------------------------------------------------------------------


@pytest.mark.long
@pytest.mark.parametrize("hook", ["version", "download", "install", "restart", "ready"])
def test_a_kill_in_each_phase(
    updates: Updates, start: Started, path: Path, medium: Path, hook: str
) -> None:
    hooks = updates.hooks
    hooks.set(hook, [hang()], [show(hooks.version_file)] if hook == "version" else [])
    device = start(broker=NOWHERE)
    ready(path)
    assert Install(path, medium, "--version", "2.0", "--no-wait").end().returncode == 0
    wait_for(path, runs_hook(hook))
    device.power_cut()
    if hook in ("restart", "ready"):
        updates.hooks.version_file.write_text("2.0")
    device.start()
    assert ended(path)["status"] == "SUCCEEDED"
    assert Install(path, "--wait").end().returncode == 0
    assert not (device.directory / "state" / "install.json").exists()


def test_a_roll_back(updates: Updates, start: Started, path: Path, medium: Path) -> None:
    updates.hooks.ready([leave(1)])
    updates.hooks.set("rollback", [])
    start(broker=NOWHERE)
    ready(path)
    install = Install(path, medium, "--version", "2.0").end()
    assert install.returncode == 3
    assert "FAILED ready_hook_failed" in install.stdout.splitlines()[-1]
    assert updates.hooks.names()[-2:] == ["rollback", "version"]


# --- between two jobs -----------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [False, True])
def test_a_success_that_aws_has_not_heard_of_is_overtaken(
    cut: bool,
    updates: Updates,
    start: Started,
    path: Path,
    medium: Path,
    broker: Mosquitto,
) -> None:
    """Another version is installed by hand meanwhile. That it runs is no fall-back."""
    hooks = updates.hooks
    go_on = hooks.directory / "go on"
    hooks.ready([wait_for_file(go_on)], [])
    hooks.set("rollback", [])
    device = start()
    updates.create()
    hooks.wait_for_call("ready")
    broker.stop()
    go_on.touch()
    device.wait_until_it_owes()
    hooks.restart([hooks.become("3.0")])
    assert Install(path, medium, "--version", "3.0").end().returncode == 0
    if cut:
        device.power_cut()
    else:
        device.stop()
    broker.start()
    device.start()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_soft_restart", "none")
    assert "rollback" not in hooks.names()


def test_a_power_cut_while_what_was_not_needed_is_tidied_up(
    updates: Updates, start: Started, path: Path, medium: Path
) -> None:
    hooks = updates.hooks
    hooks.version_file.write_text("2.0")
    hooks.set("cleanup", [hang()], [])
    device = start(broker=NOWHERE)
    ready(path)
    Install(path, medium, "--version", "2.0", "--no-wait").end()
    hooks.wait_for_call("cleanup")
    device.power_cut()
    device.start()
    assert ended(path)["state"] == "version_already_installed"
    assert "install" not in hooks.names()


def test_a_read_only_disk_at_its_end(
    mount: Mount, updates: Updates, start: Started, path: Path, medium: Path
) -> None:
    """The order of the install stays on the disk. No later agent takes it for one to go on with."""
    disk = mount("disk")
    hooks = updates.hooks
    go = hooks.directory / "go"
    hooks.ready([wait_for_file(go)], [])
    hooks.set("rollback", [hooks.become("1.0")])
    device = start(service={"state_dir": disk})
    wait_for(path, lambda status: status["state"] == "monitor")
    Install(path, medium, "--version", "2.0", "--no-wait").end()
    hooks.wait_for_call("ready")
    device.kill()
    go.touch()
    wait_until(lambda: remount(disk, "ro"))
    device.start()
    assert ended(path)["state"] == "complete_ready"
    device.wait_for_log("The last install cannot be removed")
    assert json.loads((disk / "install.json").read_text())["status"] == "IN_PROGRESS"
    wait_until(lambda: remount(disk, "rw"))
    hooks.restart([hooks.become("3.0")])
    assert updates.run("job-2", version="3.0")[-1][0] == "SUCCEEDED"
    device.kill()
    before = device.log.count("-> monitor")
    device.start()
    wait_until(lambda: device.log.count("-> monitor") > before)
    assert "rollback" not in hooks.names()
    assert not (disk / "install.json").exists()
