"""A device with two slots and RAUC: the real ``rauc``, its service and a bus of its own.

Slots are files. Not real are ``systemctl`` and the boot loader, a script of RAUC's ``custom``
backend. A reboot ends the service. The next one runs in the slot that the boot loader chooses.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from pathlib import Path
from typing import Self

import pytest

from .pages import Installer
from .waiting import PATIENCE, wait_until

SIZE = 3_000_000
QUICK = {"retry_interval": 0.2, "max_retries": 300, "restart_timeout": PATIENCE}
MISSING = [name for name in ("rauc", "dbus-daemon", "mksquashfs") if shutil.which(name) is None]

requires_rauc = pytest.mark.skipif(
    bool(MISSING) or os.geteuid() != 0,
    reason=f"needs {', '.join(MISSING)}" if MISSING else "needs root: RAUC mounts bundles",
)

BUS = """<busconfig>
  <type>system</type>
  <listen>unix:path={root}/bus</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""

BACKEND = """#!/bin/sh
set -eu
cd {root}
case $1 in
    get-primary) cat primary ;;
    set-primary) echo "$2" >primary ;;
    get-state) cat "state-$2" ;;
    set-state)
        echo "$3" >"state-$2"
        if [ "$3" = bad ]; then
            touch writing
            while [ -e hold ]; do sleep 0.05; done
        fi
        ;;
esac
"""

SYSTEMCTL = """#!/bin/sh
cd {root}
case $1 in
    reboot)
        service=$(cat rauc.pid)
        kill -KILL "$service"
        while kill -0 "$service" 2>/dev/null; do sleep 0.05; done
        kill "$(cat {agent})"
        ;;
    is-system-running) head -n 1 "slot-$(cat booted)" ;;
esac
"""


def image(state: str, version: str, content: bytes = b"") -> bytes:
    """A root file system, as far as this device knows: the state of a system that has booted it.

    :param state: as ``systemctl is-system-running`` prints it, or ``panic`` if it does not boot.
    """
    return (f"{state}\n{version}\n".encode() + content).ljust(SIZE, b"\0")[:SIZE]


class RaucDevice:
    """Runs in slot A, as it came from the factory, while it is a context.

    :param root: a directory whose path is short enough for a socket.
    :param agent: the pidfile of the agent.
    """

    def __init__(self, root: Path, agent: Path) -> None:
        self.root = root
        self._wanted = threading.Event()
        self._turns = threading.Thread(target=self._boot_again_and_again, daemon=True)
        self._bus: subprocess.Popen[bytes] | None = None
        for slot, state in (("A", "good"), ("B", "bad")):
            (root / f"slot-{slot}").write_bytes(image("running", "factory"))
            (root / f"state-{slot}").write_text(f"{state}\n")
        (root / "primary").write_text("A\n")
        (root / "bus.conf").write_text(BUS.format(root=root))
        self._script("backend", BACKEND.format(root=root))
        self.page = Installer("RAUC", root / "checkout")
        self._script("bin/systemctl", SYSTEMCTL.format(root=root, agent=agent))
        self._script("bin/rauc", f'#!/bin/sh\nexec /usr/bin/rauc --conf={root}/system.conf "$@"\n')
        self.page.set_up(self.environment)
        (root / "system.conf").write_text(self._system_conf())

    def _script(self, name: str, text: str) -> None:
        path = self.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def _system_conf(self) -> str:
        """The example with the boot loader and the places of this device."""
        text = (self.page.etc / "rauc" / "system.conf").read_text()
        for old, new in (
            ("bootloader=uboot", f"bootloader=custom\nmountprefix={self.root}/mnt"),
            ("/var/lib/upparat/rauc-status", f"{self.root}/status"),
            ("/etc/rauc/cert.pem", f"{self.page.etc}/rauc/cert.pem"),
            ("/dev/disk/by-partlabel/rootfs-a", f"{self.root}/slot-A"),
            ("/dev/disk/by-partlabel/rootfs-b", f"{self.root}/slot-B"),
        ):
            assert text.count(old) == 1, old
            text = text.replace(old, new)
        return f"{text}\n[handlers]\nbootloader-custom-backend={self.root}/backend\n"

    def bundle(self, version: str, content: bytes) -> bytes:
        """A bundle of this image, made as the page says, without what this kernel lacks."""
        here = self.page.directory
        (here / f"rootfs-{version}.img").write_bytes(content)
        self.page.make(version, FORMAT="plain")
        return (here / f"bundle-{version}.raucb").read_bytes()

    # --- life ---

    def __enter__(self) -> Self:
        command = ["dbus-daemon", f"--config-file={self.root}/bus.conf", "--nofork"]
        self._bus = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        wait_until((self.root / "bus").exists)
        self._wanted.set()
        self._turns.start()
        wait_until(lambda: self.status() is not None)
        return self

    def __exit__(self, *_: object) -> None:
        self._wanted.clear()
        (self.root / "hold").unlink(missing_ok=True)
        if (self.root / "rauc.pid").exists():
            os.kill(int((self.root / "rauc.pid").read_text()), signal.SIGTERM)
        self._turns.join(PATIENCE)
        assert self._bus is not None
        self._bus.terminate()
        self._bus.wait(PATIENCE)

    def power_cut(self) -> None:
        """End RAUC's service as nobody can see, and what it has begun."""
        os.kill(int((self.root / "rauc.pid").read_text()), signal.SIGKILL)
        (self.root / "hold").unlink(missing_ok=True)
        for mount in (self.root / "mnt").iterdir():
            subprocess.run(["umount", str(mount)], capture_output=True, check=False)
        wait_until(lambda: self.status() is not None)

    def _boot_again_and_again(self) -> None:
        pidfile = self.root / "rauc.pid"
        while self._wanted.is_set():
            slot = self._bootable()
            (self.root / "booted").write_text(slot)
            command = [str(self.root / "bin/rauc"), f"--override-boot-slot={slot}", "service"]
            with (self.root / "rauc.log").open("ab") as log:
                service = subprocess.Popen(
                    command, env=self.environment, stdout=log, stderr=subprocess.STDOUT
                )
            pidfile.write_text(str(service.pid))
            service.wait()
            pidfile.unlink()

    def _bootable(self) -> str:
        """What a boot loader does: the primary slot, or else the other one."""
        primary = self.primary
        slots = [primary, "B" if primary == "A" else "A"]
        return next(slot for slot in slots if not self.slot(slot).startswith(b"panic"))

    # --- what it is ---

    @property
    def primary(self) -> str:
        return (self.root / "primary").read_text().strip()

    @property
    def booted(self) -> str:
        return (self.root / "booted").read_text()

    def state(self, slot: str) -> str:
        """``good`` or ``bad``, as the boot loader has been told."""
        return (self.root / f"state-{slot}").read_text().strip()

    def slot(self, name: str) -> bytes:
        return (self.root / f"slot-{name}").read_bytes()

    def status(self) -> str | None:
        """What ``rauc status`` prints; ``None`` if it does not answer."""
        command = [str(self.root / "bin/rauc"), "status", "--detailed", "--output-format=shell"]
        ran = subprocess.run(
            command, env=self.environment, capture_output=True, text=True, check=False
        )
        return ran.stdout if ran.returncode == 0 else None

    @property
    def log(self) -> str:
        """What its services have printed."""
        return (self.root / "rauc.log").read_text(errors="replace")

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "DBUS_SYSTEM_BUS_ADDRESS": f"unix:path={self.root}/bus",
            "NOTE": f"{self.root}/note",
            "BUSY_FILE": f"{self.root}/busy",
        }

    @property
    def hooks(self) -> dict[str, object]:
        return self.page.hooks(self.environment) | QUICK
