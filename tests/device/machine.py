"""A machine in QEMU whose power can be cut."""

from __future__ import annotations

import functools
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from random import Random

from upparat.local.die_with_parent import dying_with_parent

from .cache import CachedDisk, Loss
from .guest import Guest
from .hardware import Hardware
from .nbd import NbdServer

MEMORY = 384
"""MiB."""
QUIET = "panic=1 quiet loglevel=4 systemd.show_status=no random.trust_cpu=1"
REPAIR = "fsck.repair=yes"
"""A file system that needs an answer is repaired, because nobody sits at the console."""
PATIENT = "systemd.default_timeout_start_sec=900 systemd.default_device_timeout_sec=900"
"""An emulated processor under load takes longer than systemd's 90 seconds."""
FAST = "mitigations=off init_on_alloc=0 lsm=capability nowatchdog tsc=reliable net.ifnames=0"
"""What the kernel leaves out, because an emulated processor pays for each instruction. A kernel
passes over what only another architecture has."""


class Machine:
    """A device of one disk. Its console is a file, its network ends at this computer.

    :param hardware: what QEMU emulates. Its build has the kernel and the initrd.
    :param directory: for the console, the sockets and the disk, which is ``disk``.
    :param clock: the time of the real-time clock at each start, as QEMU's ``-rtc base`` takes it.
    """

    def __init__(self, hardware: Hardware, directory: Path, clock: str = "utc") -> None:
        self._hardware = hardware
        self._directory = directory
        self.clock = clock
        self._disk = CachedDisk(directory / "disk")
        self._server = NbdServer(self._disk, directory / "disk.sock")
        self._process: subprocess.Popen[bytes] | None = None
        self.console_file = directory / "console.log"
        self.console_file.touch()
        self.guest = Guest(directory / "guest.sock", hardware.patience)

    def __enter__(self) -> Machine:
        self._server.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._kill()
        self._server.__exit__()
        self._disk.__exit__()

    @property
    def console(self) -> str:
        return self.console_file.read_text(errors="replace")

    @property
    def running(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def worked(self) -> float:
        """Seconds of a processor that QEMU has used since power-on. Other programs do not count."""
        assert self._process is not None
        stat = Path(f"/proc/{self._process.pid}/stat").read_text()
        user, system = stat.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def start(self) -> None:
        """Switch the power on."""
        with self.console_file.open("a") as console:
            console.write("\n=== power on ===\n")
        with (self._directory / "qemu.log").open("ab") as log:
            self._process = subprocess.Popen(
                dying_with_parent(self._command()),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def cut_power(self, dice: Random) -> Loss:
        """Kill QEMU, and with it all memory of the guest. Then lose the cache of the disk."""
        self._kill()
        self._server.wait_until_idle()
        return self._disk.cut_power(dice)

    def wait(self, condition: Callable[[], object], what: str, timeout: float = 900.0) -> None:
        """Wait until the condition holds.

        :param timeout: in seconds, for a machine whose patience is 1.
        :raises AssertionError: after this time, or if QEMU has ended.
        """
        deadline = time.monotonic() + timeout * self._hardware.patience
        while not condition():
            assert self.running, f"QEMU has ended: {self._directory / 'qemu.log'}"
            assert time.monotonic() < deadline, f"{what} does not happen: {self.console_file}"
            time.sleep(0.1)

    def wait_for(self, pattern: str, since: int = 0, timeout: float = 900.0) -> None:
        """Wait until the console shows a pattern behind the position ``since``."""
        self.wait(lambda: re.search(pattern, self.console[since:]), f"'{pattern}'", timeout)

    def _kill(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _command(self) -> list[str]:
        hardware = self._hardware
        return [
            shutil.which(hardware.qemu) or hardware.qemu,
            *("-machine", f"{hardware.machine},accel={accelerator()}"),
            *("-m", str(MEMORY), "-smp", "2"),
            *("-cpu", "host" if accelerator() == "kvm" else hardware.processor),
            *("-nodefaults", "-no-user-config", "-display", "none"),
            *("-rtc", f"base={self.clock}"),
            *("-kernel", str(hardware.build / "kernel")),
            *("-initrd", str(hardware.build / "initrd")),
            *("-append", f"console={hardware.console} {QUIET} {REPAIR} {PATIENT} {FAST}"),
            *("-chardev", f"file,id=console,path={self.console_file},append=on"),
            *("-serial", "chardev:console"),
            *(
                "-drive",
                f"if=none,id=disk,format=raw,cache=none,file=nbd+unix:///?socket={self._server.path}",
            ),
            *("-device", "virtio-blk-pci,drive=disk"),
            *("-netdev", "user,id=net", "-device", "virtio-net-pci,netdev=net,romfile="),
            *("-device", "virtio-rng-pci", "-device", "virtio-serial-pci"),
            *(
                "-chardev",
                f"socket,id=guest,server=on,wait=off,path={self._directory / 'guest.sock'}",
            ),
            *("-device", "virtserialport,chardev=guest,name=org.qemu.guest_agent.0"),
        ]


@functools.cache
def accelerator() -> str:
    """``kvm`` if it works here, or else ``tcg``."""
    return os.environ.get("UPPARAT_ACCELERATOR", "tcg")
