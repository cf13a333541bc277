"""The bench of the configuration: writes a file, and loads it."""

from __future__ import annotations

import os
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cryptography import x509
from twisted.trial.unittest import SynchronousTestCase

from upparat.config import reader as config
from upparat.config.reader import ConfigError
from upparat.config.settings import Settings
from upparat.net.proxy import Proxy
from upparat.signing.keys import PublicKey, load_keys

PROXY = Proxy("proxy.example.com", 3128)


class ConfigBench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.hook = self.script("hook")
        self.environ = self.environment()

    def environment(self) -> MutableMapping[str, str]:
        """Ours without proxies, until the test is over."""
        patched = patch.dict(os.environ)
        patched.start()
        self.addCleanup(patched.stop)
        for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
            del os.environ[name]
        return os.environ

    def script(self, name: str, mode: int = 0o755) -> Path:
        path = self.directory / name
        path.write_text("#!/bin/sh\n")
        path.chmod(mode)
        return path

    def write(self, text: str | bytes) -> Path:
        path = self.directory / "upparat.conf"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    def load(self, text: str = "", thing_name: str = "thing") -> Settings:
        return config.load(self.write(text), thing_name)

    def problems(self, text: str | bytes, thing_name: str = "thing") -> tuple[str, ...]:
        with self.assertRaises(ConfigError) as caught:
            config.load(self.write(text), thing_name)
        problems: tuple[str, ...] = caught.exception.problems
        return problems

    def problem(self, section: str, *options: str) -> str:
        """The only problem of a section with these options."""
        (problem,) = self.problems("\n".join([f"[{section}]", *options]))
        return problem

    def option(self, section: str, *options: str) -> Any:
        """The settings of a section with these options."""
        return getattr(self.load("\n".join([f"[{section}]", *options])), section)


def public_keys(file: str) -> list[PublicKey]:
    return load_keys(Path(file).read_bytes())


def certificate(file: str) -> x509.Certificate:
    return x509.load_pem_x509_certificate(Path(file).read_bytes())
