"""A machine that boots, and the local AWS outside of it."""

from __future__ import annotations

import configparser
import hashlib
import io
import re
import shutil
import socket
import struct
import subprocess
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from upparat.job import ACTION, Status
from upparat.local.aws import ExecutionStatus, LocalAws

from .guest import COMMAND, Guest
from .hardware import chosen
from .machine import Machine

THING = "device"
OUTSIDE = "10.0.2.2"
"""This computer, as the guest sees it."""
MIB = 1 << 20
ENV_SIZE = 0x4000
DATA_MIB = 384
SLOTS = {"/dev/vda2": "rootfs-a", "/dev/vda3": "rootfs-b"}
HOOKS = ("version", "install", "restart", "ready", "rollback")


@dataclass(frozen=True)
class Slots:
    """What runs, and what the boot loader would start next."""

    version: str
    running: str
    permanent: str
    trial: str


FIRST = Slots("1.0", "rootfs-a", "rootfs-a", "")
SECOND = Slots("2.0", "rootfs-b", "rootfs-b", "")


class DeviceWorld:
    """A device that has an image in its first slot, and its thing in AWS.

    :param options: of the agent's configuration, in addition to the defaults.
    :param variables: of U-Boot's environment, in addition to the slot.
    :ivar data_begin: where the data partition begins on the disk, in bytes.
    """

    def __init__(
        self,
        aws: LocalAws,
        directory: Path,
        options: Mapping[str, Mapping[str, str]] | None = None,
        clock: str = "utc",
        thing: str = THING,
        image: str = "1.0",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.aws, self.directory, self.thing = aws, directory, thing
        directory.mkdir(parents=True)
        self.hardware = chosen()
        build = self.hardware.build
        first, data = build / f"image-{image}", self._data(options or {})
        self.data_begin = make_disk(directory / "disk", first, data, variables or {})
        self.machine = Machine(self.hardware, directory, clock)

    def release(self, job_id: str, version: str, image: str = "", expires: int = 3600) -> None:
        """Create a job for the device.

        :param expires: seconds that a signed URL is valid.
        """
        path = self.hardware.build / f"image-{image or version}"
        content = path.read_bytes()
        document = {
            "action": ACTION,
            "version": version,
            "file": self.aws.upload(path.name, content),
            "sha256": hashlib.sha256(content).hexdigest(),
        }
        self.aws.create_job(job_id, document, [self.thing], expires=expires)

    def execution(self, job_id: str) -> ExecutionStatus:
        execution = self.aws.execution(job_id, self.thing)
        assert execution is not None
        return execution

    def wait_for_end(self, job_id: str, timeout: float = 1800.0) -> ExecutionStatus:
        """Wait until the job has ended, and the guest can be asked."""
        self.machine.wait(
            lambda: self.execution(job_id).status.ended, f"the end of {job_id}", timeout
        )
        self.wait_until_up()
        return self.execution(job_id)

    def wait_until_up(self) -> None:
        self.machine.wait(lambda: self.machine.guest.up, "an answer of the guest agent")

    def reboot(self) -> int:
        """Let the guest reboot. Returns the place in the console where the new boot begins."""
        since = len(self.machine.console)
        self.machine.guest.run("systemd-run --on-active=1 systemctl reboot")
        self.machine.wait_for(r"boot: rootfs-[ab], \w+\s", since)
        return self.machine.console.index("boot: rootfs-", since)

    def run(self, command: str, timeout: float = COMMAND) -> str:
        """Run a shell command in the guest, which must succeed. Returns what it prints.

        :param timeout: in seconds.
        """
        ran = self.machine.guest.run(command, timeout)
        assert ran.returncode == 0, ran
        return ran.stdout

    def slots(self) -> Slots:
        """Ask the guest what it runs."""
        return slots(self.machine.guest)

    def _data(self, options: Mapping[str, Mapping[str, str]]) -> Path:
        """The files of the data partition: certificate, configuration, an empty state."""
        keys = self.aws.create_device(self.directory / "keys", self.thing)
        data = self.directory / "data"
        etc = data / "etc"
        etc.mkdir(parents=True)
        (data / "upparat").mkdir(mode=0o700)
        for path in (keys.cafile, keys.certfile, keys.keyfile):
            shutil.copy2(path, etc)
        # The certificate of the local AWS names this computer.
        (etc / "hosts").write_text(f"127.0.0.1 localhost\n{OUTSIDE} {socket.gethostname()}\n")
        (etc / "upparat.conf").write_text(self._config(options))
        return data

    def _config(self, options: Mapping[str, Mapping[str, str]]) -> str:
        parser = configparser.ConfigParser()
        parser.read_dict(
            {
                "service": {
                    "log_level": "INFO",
                    "download_location": "/var/lib/upparat",
                    "state_dir": "/var/lib/upparat/state",
                    "progress_interval": "1",
                },
                "broker": {
                    "host": socket.gethostname(),
                    "port": str(self.aws.mqtt_port),
                    "thing_name": self.thing,
                    "client_id": self.thing,
                    "cafile": "/etc/upparat/ca.pem",
                    "certfile": "/etc/upparat/device.crt",
                    "keyfile": "/etc/upparat/device.key",
                },
                "hooks": {
                    "retry_interval": "2",
                    "restart_attempts": "100",
                    **{hook: f"/usr/lib/upparat/hooks/{hook}" for hook in HOOKS},
                },
                "download": {"allow_http": "yes"},
            }
        )
        parser.read_dict(options)
        text = io.StringIO()
        parser.write(text)
        return text.getvalue()


MakeWorld = Callable[..., DeviceWorld]


def slots(guest: Guest) -> Slots:
    script = """
        /usr/lib/upparat/hooks/version
        readlink -f "$(findmnt --noheadings --output SOURCE /)"
        fw_printenv -n slot
        fw_printenv -n try_slot 2>/dev/null || echo"""
    ran = guest.run(script)
    assert ran.returncode == 0, ran
    version, device, permanent, trial = ran.stdout.splitlines()
    return Slots(
        version, {"/dev/vda2": "rootfs-a", "/dev/vda3": "rootfs-b"}[device], permanent, trial
    )


def violations(world: DeviceWorld, job_id: str, version: str) -> list[str]:
    """What does not hold when a job has ended and the guest is up."""
    wrong = []
    slots = world.slots()
    if slots.version != version:
        wrong.append(f"{world.execution(job_id)}, and {slots.version} runs")
    if slots.permanent != slots.running or slots.trial:
        wrong.append(f"the boot loader will not start what runs: {slots}")
    left = world.machine.guest.run("find /var/lib/upparat -name '*.part' -o -name '*.file'").stdout
    if left:
        wrong.append(f"left: {left}")
    if re.search(r"X-Amz|Signature=", world.machine.console):
        wrong.append("the console shows a signed URL")
    return [f"{job_id}: {each}" for each in wrong]


def assert_updated(world: DeviceWorld, job_id: str = "job-1") -> ExecutionStatus:
    """Wait for the end of a job that brings version 2.0, and check all that must hold then."""
    ended = world.wait_for_end(job_id)
    assert (ended.status, ended.state) == (Status.SUCCEEDED, "complete_ready"), ended
    assert world.slots() == SECOND
    assert violations(world, job_id, "2.0") == []
    return ended


def assert_not_updated(world: DeviceWorld, state: str, job_id: str = "job-1") -> ExecutionStatus:
    """Wait for the end of a job that fails with this state, and check all that must hold then."""
    ended = world.wait_for_end(job_id)
    assert (ended.status, ended.state) == (Status.FAILED, state), ended
    assert world.slots() == FIRST
    assert violations(world, job_id, "1.0") == []
    return ended


def make_disk(disk: Path, image: Path, data: Path, variables: Mapping[str, str]) -> int:
    """Make a disk: U-Boot's environment, two slots, of which the first has the image, and data.

    Returns where the data partition begins, in bytes.
    """
    slot = -(-image.stat().st_size // MIB) + 8
    table = f"""label: gpt
start={2048}, size={2048}, name=uboot-env
start={2 * 2048}, size={slot * 2048}, name=rootfs-a
start={(2 + slot) * 2048}, size={slot * 2048}, name=rootfs-b
start={(2 + 2 * slot) * 2048}, size={DATA_MIB * 2048}, name=data
"""
    with disk.open("wb") as file:
        file.truncate((2 + 2 * slot + DATA_MIB + 1) * MIB)
        file.seek(MIB)
        file.write(environment({"slot": "rootfs-a", **variables}))
        file.seek(2 * MIB)
        file.write(image.read_bytes())
    run = {"check": True, "capture_output": True}
    subprocess.run(["/usr/sbin/sfdisk", "--wipe", "never", str(disk)], input=table.encode(), **run)  # type: ignore[call-overload]
    begin = (2 + 2 * slot) * MIB
    mkfs = ["/usr/sbin/mkfs.ext4", "-q", "-F", "-E", f"offset={begin}", "-d", str(data), str(disk)]
    subprocess.run([*mkfs, f"{DATA_MIB}M"], **run)  # type: ignore[call-overload]
    return begin


def environment(variables: Mapping[str, str]) -> bytes:
    """An environment of U-Boot with a counter, the first of two."""
    data = "".join(f"{name}={value}\0" for name, value in variables.items()).encode()
    data = data.ljust(ENV_SIZE - 5, b"\0")
    return struct.pack("<IB", zlib.crc32(data), 1) + data
