"""One agent for a directory, its own files, and a start with whatever leaves a safe connection."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.support.agent import Agent
from tests.support.scripts import hang, leave, wait_for_file
from tests.support.waiting import runs, wait_until

SCRIPTS = Path(sys.executable).parent


def refused(device: Agent, config: Path) -> str:
    """What a second agent prints, which exits with the status for it; so does its daemon."""
    told = ""
    for words in (["upparat", "-v", "-c"], ["twistd", "--pidfile=second.pid", "upparat", "-c"]):
        second = subprocess.run(
            [str(SCRIPTS / words[0]), *words[1:], str(config)],
            cwd=device.directory,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert second.returncode == 75, second.stderr
        told = second.stderr
    return told


def test_a_second_agent_with_the_same_file(updates: Updates, tmp_path: Path) -> None:
    go_on = tmp_path / "go-on"
    updates.hooks.install([wait_for_file(go_on)])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("install")
    state = device.directory / "state"
    expected = f"upparat: {state} is in use by process {device.pid}\n"
    assert refused(device, device.config_file) == expected
    checked = subprocess.run([str(SCRIPTS / "upparat"), "check", "-c", str(device.config_file)])
    assert checked.returncode == 0
    go_on.touch()
    assert updates.end()[-1] == SUCCEEDED[-1]
    assert updates.hooks.names().count("install") == 1


@pytest.mark.long
def test_a_second_agent_with_the_same_downloads(updates: Updates, tmp_path: Path) -> None:
    device = updates.start()
    device.wait_for_log("Subscribed")
    other = tmp_path / "other.conf"
    downloads = device.directory / "downloads"
    other.write_text(f"[service]\ndownload_location = {downloads}\nstate_dir = {tmp_path}/other\n")
    told = refused(device, other)
    assert told.startswith(f"upparat: {downloads / 'upparat'} is in use by ")
    assert updates.run()[-1] == SUCCEEDED[-1]


def test_the_next_agent_after_a_kill(updates: Updates) -> None:
    """The kernel takes the lock back, though hooks of the first agent still run."""
    updates.hooks.ready([hang()], [])
    device = updates.start()
    updates.create()
    updates.hooks.wait_for_call("ready")
    device.kill()
    device.start()
    assert updates.end()[-1] == ("SUCCEEDED", "complete_ready", "none")


def test_directories_of_others_refuse_the_start(updates: Updates, tmp_path: Path) -> None:
    state = tmp_path / "open"
    state.mkdir()
    state.chmod(0o777)
    device = updates.start(service={"state_dir": state})
    assert device.wait_exit() == 2
    assert f"{state} can be written to by others; mend it with: chmod go-w {state}\n" in device.log
    state.chmod(0o755)
    device.start()
    assert updates.run()[-1] == SUCCEEDED[-1]


def test_a_link_in_place_of_the_record(updates: Updates, tmp_path: Path) -> None:
    """It leads to a file of root's, but the agent writes only to its own."""
    shadow = tmp_path / "shadow"
    shadow.write_text("root:*")
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    for name in ("record.new", "record.json"):
        (state / name).symlink_to(shadow)
    device = updates.start(service={"state_dir": state})
    assert updates.run()[-1] == SUCCEEDED[-1]
    assert shadow.read_text() == "root:*"
    assert "is not a regular file; mend it with: mv " in device.log
    for name in ("record.new", "record.json"):
        (state / name).unlink(missing_ok=True)


def test_an_application_that_the_restart_hook_has_become_lives_on(updates: Updates) -> None:
    """The agent is stopped by the hook, which goes on for ever, after its job as well."""
    hooks = updates.hooks
    hooks.restart([hooks.become("2.0"), hooks.kill_agent(), hang()], [hooks.become("3.0")])
    device = updates.start(supervised=True, hooks={"timeout_restart": 20})
    assert updates.run()[-1] == ("SUCCEEDED", "complete_ready", "none")
    application = hooks.calls("restart")[0].pid
    wait_until(lambda: not list(device.directory.rglob("restart.pid")))
    assert updates.run("job-2", version="3.0")[-1] == SUCCEEDED[-1]
    assert runs(application)
    os.kill(application, signal.SIGKILL)


def test_a_file_that_is_changed_before_the_next_run_of_the_hook(updates: Updates) -> None:
    updates.hooks.install([leave(3)])
    device = updates.start(hooks={"retry_interval": 1})
    updates.create()
    updates.hooks.wait_for_call("install")
    path = device.directory / "downloads" / "upparat" / "job-1"
    path.chmod(0o755)  # a hook may do that
    updates.hooks.wait_for_call("install", 2)
    path.write_bytes(bytes(len(updates.file.content)))
    assert updates.end()[-1] == (
        "FAILED",
        "installation_hook_failed",
        "the file was changed after it was verified",
    )
    assert updates.hooks.names().count("install") == 2


def test_a_hook_that_is_missing_in_the_new_version(updates: Updates) -> None:
    """The agent starts, and the job that needs the hook comes to its end."""
    updates.hooks.standard(restart=updates.hooks.kill_agent())
    device = updates.start(supervised=True)
    ready = Path(device.sections["hooks"]["ready"].split()[0])  # type: ignore[attr-defined]
    moved = ready.rename(ready.with_suffix(".away"))
    history = updates.run()
    assert history[-1] == (
        "FAILED",
        "ready_hook_failed",
        "cannot be executed: No such file or directory",
    )
    device.wait_for_log("The configuration is wrong: [hooks] ready: ")
    moved.rename(ready)
    assert updates.run("job-2", force=True)[-1][:1] == ("SUCCEEDED",)


def test_nothing_is_installed_that_might_have_to_be_refused(updates: Updates) -> None:
    device = updates.start(verify={"requir": "signature"})
    assert updates.run()[-1] == (
        "FAILED",
        "verification_failed",
        "the configuration is wrong: [verify] requir: unknown option, did you mean require?",
    )
    assert "[verify] requir: unknown option" in device.log
    assert updates.hooks.names() == ["version", "download"]
