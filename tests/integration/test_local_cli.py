"""``upparat-local`` and the demonstration as their users run them, with the real agent."""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.waiting import PATIENCE, wait_until
from upparat.local import cli
from upparat.local.agent import Supervisor
from upparat.local.demo import processes_below
from upparat.local.device import Device
from upparat.local.ministack import end_group


class Command:
    """A command in the foreground whose output collects in ``printed``."""

    def __init__(self, directory: Path, *words: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", *words],
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.printed = ""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.printed += line

    def end(self, number: int) -> int:
        self.process.send_signal(number)
        return self.wait()

    def wait(self) -> int:
        status = self.process.wait(2 * PATIENCE)
        self._reader.join(PATIENCE)
        return status


@contextlib.contextmanager
def command(directory: Path, *words: str) -> Iterator[Command]:
    running = Command(directory, *words)
    try:
        yield running
    finally:
        if running.process.poll() is None:
            end_group(running.process)  # type: ignore[arg-type]
        running.wait()


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.long)]
)
def test_it_runs_until_it_is_told_to_stop(tmp_path: Path, number: signal.Signals) -> None:
    with command(tmp_path, "upparat.local.cli", "here", "--thing", "gadget") as local:
        wait_until(lambda: "Ctrl-C" in local.printed)
        assert (tmp_path / "here" / cli.CONNECTION).exists()
        assert local.end(number) == 0
    assert "Stopped." in local.printed
    assert "Traceback" not in local.printed
    assert processes_below(tmp_path) == []
    assert not (tmp_path / "here" / cli.CONNECTION).exists()
    assert "gadget" in (tmp_path / "here" / "device" / "upparat.conf").read_text()


@pytest.mark.long
def test_it_notices_that_ministack_has_died(tmp_path: Path) -> None:
    with command(tmp_path, "upparat.local.cli", "here") as local:
        wait_until(lambda: "Ctrl-C" in local.printed)
        [ministack] = [
            pid for pid in processes_below(tmp_path / "here") if pid != local.process.pid
        ]
        os.kill(ministack, signal.SIGKILL)
        assert local.wait() == 1
    assert "MiniStack has ended" in local.printed


@contextlib.contextmanager
def revived(supervisor: Supervisor) -> Iterator[None]:
    """Play systemd while the block runs."""
    stop = threading.Event()

    def revive() -> None:
        while not stop.wait(0.05):
            supervisor.revive()

    # The agent is tied to the life of the thread that starts it, which ends after the agent.
    def supervise() -> None:
        with supervisor:
            started.set()
            revive()

    started = threading.Event()
    thread = threading.Thread(target=supervise)
    thread.start()
    try:
        assert started.wait(PATIENCE)
        yield
    finally:
        stop.set()
        thread.join(PATIENCE)


def test_a_job_is_installed_and_watched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file.bin").write_bytes(b"content")
    with command(tmp_path, "upparat.local.cli") as local:
        wait_until(lambda: "Ctrl-C" in local.printed)
        device = Device(cli.THING, tmp_path / cli.DIRECTORY / "device")
        device.write_config(
            cli._connect(Path(cli.DIRECTORY))[0].mqtt_port,
            {"hooks": {"restart_grace": "1", "restart_timeout": "20"}},
        )
        with revived(Supervisor(device)):
            assert cli.main(["job", "file.bin", "1.5", "--job-id", "j"]) == 0
            shown = capsys.readouterr().out
            assert cli.main(["job", "file.bin", "1.5", "--job-id", "again"]) == 0
            assert "version_already_installed" in capsys.readouterr().out
        assert local.end(signal.SIGINT) == 0
    assert "reboot_start" in shown
    assert shown.splitlines()[-1] == "SUCCEEDED: complete_ready"
    assert (device.rootfs / "firmware").read_bytes() == b"content"
    assert (device.rootfs / "version").read_text() == "1.5\n"


@pytest.mark.long
def test_the_printed_aws_commands_work(tmp_path: Path) -> None:
    scripts = Path(sys.executable).parent
    (tmp_path / "FILE").write_bytes(b"content")
    with command(tmp_path, "upparat.local.cli") as local:
        wait_until(lambda: "Ctrl-C" in local.printed)
        lines = local.printed[local.printed.index("export AWS") :].partition("\nCtrl-C")[0]
        ran = subprocess.run(
            ["sh", "-ec", lines],
            cwd=tmp_path,
            env=os.environ | {"AWS_PAGER": "", "PATH": f"{scripts}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    assert '"status": "QUEUED"' in ran.stdout


@pytest.mark.long
def test_the_printed_agent_command_is_the_devices(tmp_path: Path) -> None:
    with command(tmp_path, "upparat.local.cli") as local:
        wait_until(lambda: "Ctrl-C" in local.printed)
    device = Device(cli.THING, tmp_path / cli.DIRECTORY / "device")
    assert shlex.join(device.agent_command()) in local.printed


@pytest.mark.long
def test_the_demonstration_succeeds_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "tmp").mkdir()
    ran = subprocess.run(
        [sys.executable, "-m", "upparat.local.demo", "--size", "2"],
        env=os.environ | {"TMPDIR": str(tmp_path / "tmp")},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    for shown in ("download_start", "100 %", "reboot_start", "complete_ready", "byte for byte"):
        assert shown in ran.stdout
    if shutil.which("zck"):
        assert re.search(r"^The second update fetched 0\.[0-4] of 2\.0 MB: ", ran.stdout, re.M)
    else:
        assert "The second update, a delta, is left out: " in ran.stdout
    assert list((tmp_path / "tmp").iterdir()) == []
    assert processes_below(tmp_path) == []


@pytest.mark.long
def test_the_demonstration_keeps_its_files_when_asked(tmp_path: Path) -> None:
    with command(tmp_path, "upparat.local.demo", "--keep", "--size", "1") as running:
        assert running.wait() == 0
    kept = re.search(r"The files are in (.*)", running.printed)
    assert kept is not None
    scratch = Path(kept[1])
    assert (scratch / "device" / "rootfs" / "firmware").stat().st_size >= 1_000_000
    shutil.rmtree(scratch)


@pytest.mark.long
def test_an_interrupted_demonstration_leaves_nothing(tmp_path: Path) -> None:
    with command(tmp_path, "upparat.local.demo") as running:
        wait_until(lambda: "Agent of" in running.printed)
        agent = re.search(r"process (\d+)", running.printed)
        assert agent is not None
        assert running.end(signal.SIGTERM) == 130
    assert not Path(f"/proc/{agent[1]}").exists()
