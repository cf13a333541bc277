"""A device of the local AWS, with the files of a real one."""

from __future__ import annotations

import configparser
import os
import shlex
import stat
import sysconfig
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from upparat.job import Hook
from upparat.runtime import MAX_PATH, OFF

from .loopback import HOST

Options = Mapping[str, Mapping[str, str]]
"""Options of the configuration: section, then option."""


HOOKS = (Hook.VERSION, Hook.DOWNLOAD, Hook.INSTALL, Hook.RESTART, Hook.READY)
"""The hooks of a local device."""


@dataclass(frozen=True)
class Device:
    """A thing and its directory; every path is absolute."""

    thing_name: str
    directory: Path

    @property
    def config_file(self) -> Path:
        return self.directory / "upparat.conf"

    @property
    def cafile(self) -> Path:
        return self.directory / "ca.pem"

    @property
    def certfile(self) -> Path:
        return self.directory / "device.crt"

    @property
    def keyfile(self) -> Path:
        return self.directory / "device.key"

    @property
    def pidfile(self) -> Path:
        """The file of the agent's process id, which the restart hook reads."""
        return self.directory / "agent.pid"

    @property
    def rootfs(self) -> Path:
        """The directory that the example hooks install to."""
        return self.directory / "rootfs"

    @property
    def firmware(self) -> Path:
        """The file that the example hooks have installed."""
        return self.rootfs / "firmware"

    def hook(self, hook: Hook) -> Path:
        return self.directory / "hooks" / hook

    def agent_command(self, logfile: str = "-") -> list[str]:
        """Return the command line that runs the agent in the foreground."""
        return [
            str(Path(sysconfig.get_path("scripts"), "twistd")),
            "--nodaemon",
            f"--pidfile={self.pidfile}",
            f"--logfile={logfile}",
            "upparat",
            f"--config={self.config_file}",
        ]

    # --- files ---

    def write_keys(self, ca: str, certificate: str, key: str) -> None:
        self.directory.mkdir(parents=True, exist_ok=True)
        write_private(self.cafile, ca)
        write_private(self.certfile, certificate)
        write_private(self.keyfile, key)

    def write_hooks(self) -> None:
        """Copy the example hooks. Existing hooks stay, because the user may have edited them."""
        self.rootfs.mkdir(parents=True, exist_ok=True)
        for hook in HOOKS:
            target = self.hook(hook)
            if not target.exists():
                target.parent.mkdir(exist_ok=True)
                source = resources.files(__package__) / "hooks" / hook
                target.write_bytes(source.read_bytes())
                target.chmod(0o755)

    def write_config(self, mqtt_port: int, options: Options | None = None) -> None:
        """Write the agent's configuration. ``options`` add to the defaults or replace them.

        An option with an empty value counts as not set.
        """
        parser = configparser.ConfigParser()
        parser.read_dict(self._defaults(mqtt_port))
        for section, values in (options or {}).items():
            if not parser.has_section(section):
                parser.add_section(section)
            for option, value in values.items():
                parser.set(section, option, value.replace("%", "%%"))
        with self.config_file.open("w", encoding="utf-8") as stream:
            parser.write(stream)

    def _control_socket(self) -> str:
        """Return a path beside the other files; several devices must not share the default."""
        path = self.directory / "control.sock"
        return str(path) if len(os.fsencode(path)) <= MAX_PATH else OFF

    def _defaults(self, mqtt_port: int) -> dict[str, dict[str, str]]:
        sections = {
            "service": {
                "log_level": "INFO",
                "download_location": str(self.directory / "downloads"),
                "state_dir": str(self.directory / "state"),
                "progress_interval": "1",
            },
            "broker": {
                "host": HOST,
                "port": str(mqtt_port),
                "thing_name": self.thing_name,
                "client_id": self.thing_name,
                "cafile": str(self.cafile),
                "certfile": str(self.certfile),
                "keyfile": str(self.keyfile),
            },
            "hooks": {"retry_interval": "1"},
            # The local S3 has no certificate.
            "download": {"allow_http": "yes"},
            "control": {"socket": self._control_socket()},
        }
        if self.hook(Hook.INSTALL).exists():
            sections["hooks"] |= {hook: str(self.hook(hook)) for hook in HOOKS}
            sections["delta"] = {"seeds": shlex.quote(str(self.firmware))}
        return {
            section: {option: value.replace("%", "%%") for option, value in values.items()}
            for section, values in sections.items()
        }


def write_private(path: Path, text: str) -> None:
    """Write a file that from its first byte on only its owner can read."""
    path.unlink(missing_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, stat.S_IRUSR | stat.S_IWUSR)
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(text)
