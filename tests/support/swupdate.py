"""A device with two slots and the real ``swupdate``.

Slots are files. Not real are ``systemctl``, ``findmnt`` and the environment of U-Boot.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from .pages import Installer
from .waiting import PATIENCE

SIZE = 3_000_000
MISSING = [name for name in ("swupdate", "cpio", "pkill", "stdbuf") if shutil.which(name) is None]
QUICK = {"retry_interval": 0.2, "max_retries": 300, "restart_timeout": PATIENCE}

requires_swupdate = pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}")

SYSTEMCTL = """#!/bin/sh
cd {root}
case $1 in
    reboot)
        mv -f try_slot booted 2>/dev/null || cp slot booted
        head -n 1 "$(cat booted)" >os-release
        kill "$(cat {agent})"
        ;;
    is-system-running) sed -n 2p "$(cat booted)" ;;
esac
"""
FW_SETENV = """#!/bin/sh
cd {root}
if [ $# = 1 ]; then rm -f "$1"; else echo "$2" >"$1"; fi
"""


def image(version: str, state: str, content: bytes = b"") -> bytes:
    """A root file system, as far as this device knows: its release, and the state of its system."""
    return f"IMAGE_VERSION={version}\n{state}\n".encode() + content.ljust(SIZE, b"\0")


class SwupdateDevice:
    """Runs version 1.0 in the slot rootfs-a.

    :param root: its directory.
    :param agent: the pidfile of the agent.
    """

    def __init__(self, root: Path, agent: Path) -> None:
        self.root = root
        root.mkdir()
        for slot in ("rootfs-a", "rootfs-b"):
            (root / slot).write_bytes(image("1.0", "running"))
        (root / "slot").write_text("rootfs-a\n")
        (root / "booted").write_text("rootfs-a\n")
        (root / "os-release").write_text("IMAGE_VERSION=1.0\n")
        self.script("systemctl", SYSTEMCTL.format(root=root, agent=agent))
        self.script("fw_setenv", FW_SETENV.format(root=root))
        self.script("fw_printenv", f'#!/bin/sh\ncat "{root}/$2"\n')
        self.script("findmnt", f'#!/bin/sh\necho "{root}/$(cat {root}/booted)"\n')
        self.page = Installer("SWUpdate", root / "checkout")
        self.page.set_up(self.environment)

    def script(self, name: str, text: str) -> None:
        """Put a program before those of this machine."""
        path = self.root / "bin" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)

    def swu(self, version: str, content: bytes) -> bytes:
        """A ``.swu`` of this image, made as the page says."""
        here = self.page.directory
        (here / f"rootfs-{version}.img").write_bytes(content)
        self.page.make(version, SLOTS=str(self.root))
        return (here / f"rootfs-{version}.swu").read_bytes()

    @property
    def booted(self) -> str:
        return (self.root / "booted").read_text().strip()

    @property
    def permanent(self) -> str:
        """The slot that the boot loader takes unless it is to try the other one."""
        return (self.root / "slot").read_text().strip()

    def slot(self, name: str, size: int) -> bytes:
        """The first bytes of a slot."""
        return (self.root / name).read_bytes()[:size]

    @property
    def environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.root}/bin:/usr/sbin:/usr/bin:/sbin:/bin",
            "SLOTS": str(self.root),
            "NEXT_SLOT": f"{self.root}/next-slot",
            "BUSY_FILE": f"{self.root}/busy",
            "OS_RELEASE": f"{self.root}/os-release",
            "HWREVISION": f"{self.root}/checkout/etc/hwrevision",
            "CERT": f"{self.root}/checkout/etc/swupdate/cert.pem",
            "SWUPDATE_DIR": f"{self.root}/run",
        }

    def hooks(self, *, streamed: bool) -> dict[str, object]:
        stream = "yes" if streamed else "no"
        return {**self.page.hooks(self.environment), **QUICK, "install_stream": stream}
