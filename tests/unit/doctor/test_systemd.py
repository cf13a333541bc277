"""The systemd unit, as a script in place of ``systemctl`` shows it."""

from __future__ import annotations

import os

from tests.unit.doctor.bench import DoctorBench, examination
from upparat.doctor.finding import Finding
from upparat.doctor.systemd import examine

GOOD = "LoadState=loaded\nType=notify\nKillMode=process\nWatchdogUSec=1min\nUser=\n"


class SystemdTests(DoctorBench):
    def found(self, shown: str, code: int = 0) -> list[Finding]:
        script = f"#!/bin/sh\ncat <<END\n{shown}END\nexit {code}\n"
        self.script(script.encode(), "systemctl")
        self.patch(os, "environ", {**os.environ, "PATH": f"{self.directory}:/usr/bin:/bin"})
        return list(examine(examination(), booted=self.directory))

    def test_a_good_unit(self) -> None:
        [found] = self.found(GOOD)
        self.says(found, "ok", "as root")
        [found] = self.found(GOOD.replace("User=", "User=upparat"))
        self.says(found, "ok", "as upparat")

    def test_each_property(self) -> None:
        for good, bad, words in (
            ("notify", "simple", "Set Type=notify"),
            ("=process", "=control-group", "Set KillMode=process"),
            ("1min", "infinity", "Set WatchdogSec=60"),
        ):
            [found] = self.found(GOOD.replace(good, bad))
            self.says(found, "warning", words)

    def test_no_unit(self) -> None:
        [found] = self.found("LoadState=not-found\n")
        self.says(found, "skipped", "no unit")

    def test_a_systemd_that_does_not_answer(self) -> None:
        [found] = self.found("", 1)
        self.says(found, "skipped")

    def test_no_systemd(self) -> None:
        [found] = examine(examination(), booted=self.directory / "none")
        self.says(found, "skipped", "does not run here")
