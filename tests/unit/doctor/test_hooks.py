"""Whether Linux can run a hook."""

from __future__ import annotations

import sys
from pathlib import Path

from tests.unit.doctor.bench import DoctorBench, examination, levels
from upparat.config.settings import HookSettings, Settings
from upparat.doctor.finding import Finding
from upparat.doctor.hooks import examine, judge_hook
from upparat.job import Hook


class HookTests(DoctorBench):
    def judged(self, content: bytes, mode: int = 0o755) -> Finding:
        return judge_hook("hook install", str(self.script(content, mode=mode)))

    def test_scripts_and_programs(self) -> None:
        for content in (b"#!/bin/sh\nexit\n", b"#! /bin/sh -e\n", b"#!/usr/bin/env sh\n"):
            self.says(self.judged(content), "ok", "can be run")
        self.says(judge_hook("hook install", sys.executable), "ok")

    def test_one_that_is_missing(self) -> None:
        missing = judge_hook("hook install", str(self.directory / "none"))
        self.says(missing, "failed", "was not found")

    def test_one_that_may_not_be_run(self) -> None:
        self.says(self.judged(b"#!/bin/sh\n", 0o644), "failed", "is not executable", "chmod +x")

    def test_one_with_the_line_ends_of_windows(self) -> None:
        self.says(self.judged(b"#!/bin/sh\r\nexit 0\r\n"), "failed", "CRLF", "sed -i")

    def test_one_with_a_byte_order_mark(self) -> None:
        self.says(self.judged(b"\xef\xbb\xbf#!/bin/sh\n"), "failed", "byte order mark")

    def test_one_without_an_interpreter(self) -> None:
        self.says(self.judged(b"echo\n"), "failed", "neither a program nor a script")
        self.says(self.judged(b"#!\n"), "failed", "names no interpreter")
        self.says(self.judged(b"#!/opt/none/bash\n"), "failed", "/opt/none/bash")
        self.says(self.judged(b"#!/tmp\n"), "failed", "/tmp")

    def test_an_interpreter_that_env_does_not_find(self) -> None:
        self.says(self.judged(b"#!/usr/bin/env -S no-such-shell\n"), "failed", "no-such-shell")
        self.says(self.judged(b"#!/usr/bin/env -S A=b sh\n"), "ok")

    def test_a_mount_that_runs_nothing(self) -> None:
        mountinfo = self.directory / "mountinfo"
        mountinfo.write_text("20 1 8:1 / / rw,noexec - ext4 /dev/root rw\n")
        path = self.script(b"#!/bin/sh\n")
        self.says(judge_hook("hook install", str(path), mountinfo), "failed", "noexec")

    def test_each_hook_has_a_line(self) -> None:
        commands = {Hook.VERSION: ("/bin/sh", "-c"), Hook.INSTALL: ("/none",)}
        settings = Settings(hooks=HookSettings(commands=commands))
        found = levels(examine(examination(settings=settings)))
        self.assertEqual(found, [("hook version", "ok"), ("hook install", "failed")])

    def test_no_hook(self) -> None:
        self.assertEqual(levels(examine(examination())), [("hooks", "skipped")])

    def test_a_relative_name_that_was_not_found(self) -> None:
        self.says(judge_hook("hook ready", "no-such-hook"), "failed", str(Path("no-such-hook")))
