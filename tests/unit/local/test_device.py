"""The files of a device: keys, configuration, hooks."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from tests.support.certs import Authority
from upparat.config import reader as config
from upparat.job import Hook
from upparat.local.device import HOOKS, Device

from .bench import Base


class DeviceFiles(Base):
    def make_device(self, name: str = "device", *, hooks: bool = False) -> Device:
        device = Device("thing-1", self.directory / name)
        authority = Authority()
        ca = authority.write(self.directory / "authority.pem")
        files = (ca, *authority.issue(self.directory, "device"))
        device.write_keys(*(Path(file).read_text() for file in files))
        if hooks:
            device.write_hooks()
        return device

    def test_the_key_is_private_whatever_was_there(self) -> None:
        device = self.make_device()
        device.keyfile.chmod(0o644)
        device.write_keys(*["x"] * 3)
        self.assertEqual(stat.S_IMODE(device.keyfile.stat().st_mode), 0o600)
        self.assertEqual(device.keyfile.read_text(), "x")

    def test_the_agent_accepts_the_configuration(self) -> None:
        device = self.make_device("100 % odd", hooks=True)
        device.write_config(8884)
        settings = config.load(device.config_file)
        self.assertEqual(settings.broker.port, 8884)
        self.assertEqual(settings.broker.client_id, "thing-1")
        self.assertTrue(settings.broker.tls)
        self.assertTrue(settings.download.allow_http)
        self.assertEqual(settings.service.state_dir, device.directory / "state")
        self.assertEqual(settings.delta.seeds, (device.firmware,))
        self.assertEqual(
            settings.hooks.commands, {hook: (str(device.hook(hook)),) for hook in HOOKS}
        )

    def test_without_hooks_none_is_configured(self) -> None:
        device = self.make_device()
        device.write_config(8884)
        self.assertEqual(config.load(device.config_file).hooks.commands, {})

    def test_options_add_and_replace(self) -> None:
        device = self.make_device(hooks=True)
        device.write_config(
            8884,
            {
                "service": {"log_level": "DEBUG", "sentry_dsn": ""},
                "hooks": {"ready": ""},
                "broker": {"username": "100 %"},
            },
        )
        settings = config.load(device.config_file)
        self.assertEqual(settings.service.log_level, "DEBUG")
        self.assertNotIn(Hook.READY, settings.hooks.commands)
        self.assertEqual(settings.broker.username, "100 %")

    def test_a_new_section_can_come_with_the_options(self) -> None:
        device = self.make_device()
        device.write_config(8884, {"more": {"key": "value"}})
        with self.assertRaises(config.ConfigError) as caught:
            config.load(device.config_file)
        self.assertIn("[more]: unknown section", caught.exception.problems)

    def test_edited_hooks_stay(self) -> None:
        device = self.make_device(hooks=True)
        self.assertTrue(os.access(device.hook(Hook.VERSION), os.X_OK))
        device.hook(Hook.READY).write_text("mine")
        device.write_hooks()
        self.assertEqual(device.hook(Hook.READY).read_text(), "mine")

    def test_the_command_line_runs_the_agent_in_the_foreground(self) -> None:
        device = Device("thing-1", Path("/d"))
        twistd, *arguments = device.agent_command("/d/log")
        self.assertEqual(Path(twistd).name, "twistd")
        self.assertEqual(
            arguments,
            [
                "--nodaemon",
                "--pidfile=/d/agent.pid",
                "--logfile=/d/log",
                "upparat",
                "--config=/d/upparat.conf",
            ],
        )
