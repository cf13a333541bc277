"""How the verbs find the agent, and how they fail."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from tests.unit.commands.asking_bench import AskingBench, imported_by
from upparat.commands import asking
from upparat.commands import main as cli
from upparat.control import protocol
from upparat.control.client import AskingFailed
from upparat.runtime import SYSTEM_SOCKET


class FindTests(AskingBench):
    def test_the_file(self) -> None:
        self.config.write_text(
            f"[control]\nsocket = {self.answering.path}\n[broker]\nkeyfile = /root/not-for-you\n"
        )
        self.answering.say(protocol.checking())
        cli.main(["check-now", "-c", str(self.config)])
        self.assertEqual(len(self.answering.asked), 1)

    def test_a_file_without_the_option(self) -> None:
        self.patch(asking, "default_socket", lambda: self.answering.path)
        self.answering.say(protocol.checking())
        cli.main(["check-now", "-c", str(self.config)])
        self.assertEqual(len(self.answering.asked), 1)

    def refused(self, text: str) -> str:
        self.config.write_text(text)
        error = self.assertRaises(SystemExit, cli.main, ["status", "-c", str(self.config)])
        self.assertEqual(error.code, 2)
        return self.err.getvalue()

    def test_a_wrong_file(self) -> None:
        self.assertIn("[control] socket: /xxx", self.refused("[control]\nsocket = /" + "x" * 200))
        self.assertIn("File contains no section headers", self.refused("socket"))
        self.config.unlink()
        missing = self.config.with_name("missing")
        self.assertRaises(SystemExit, cli.main, ["status", "-c", str(missing)])
        self.assertIn("missing: No such file or directory", self.err.getvalue())

    def test_a_socket_that_is_off(self) -> None:
        for text in ("off", ""):
            self.config.write_text(f"[control]\nsocket = {text}\n")
            error = self.assertRaises(SystemExit, cli.main, ["status", "-c", str(self.config)])
            self.assertEqual(error.code, 69)
        self.assertIn("upparat.conf: the control socket is off\n", self.err.getvalue())

    def test_the_default(self) -> None:
        arguments = argparse.Namespace(socket=None, config=None)
        self.patch(asking, "default_socket", lambda: self.answering.path)
        self.assertEqual(asking.find_socket(arguments), SYSTEM_SOCKET)
        self.answering.path.touch()
        self.assertEqual(asking.find_socket(arguments), self.answering.path)
        self.patch(asking, "default_socket", lambda: None)
        self.assertEqual(asking.find_socket(arguments), SYSTEM_SOCKET)


class FailureTests(AskingBench):
    def test_no_agent(self) -> None:
        for verb in ("status", "log", "check-now"):
            self.assertEqual(self.ask(verb), 69)
        line = "upparat: no agent at PATH: No such file or directory\n"
        self.assertEqual(self.told(), 3 * line)

    def test_another_version(self) -> None:
        self.answering.say({"protocol": 7, "type": "status"})
        self.assertEqual(self.ask("status"), 76)
        line = "upparat: PATH: the agent speaks version 7 of the protocol, not 1\n"
        self.assertEqual(self.told(), line)

    def test_ctrl_c(self) -> None:
        with self.assertRaises(SystemExit) as caught, asking.failures_exit():
            raise KeyboardInterrupt
        self.assertEqual(caught.exception.code, 130)

    def test_a_reader_that_has_had_enough(self) -> None:
        def broken() -> None:
            raise BrokenPipeError

        self.patch(self.out, "flush", broken)
        self.answering.say(protocol.checking())
        self.assertEqual(self.ask("check-now"), 0)
        self.assertEqual(self.told(), "")

    def test_any_failure(self) -> None:
        with self.assertRaises(SystemExit) as caught, asking.failures_exit():
            raise AskingFailed("no", 77)
        self.assertEqual((caught.exception.code, self.told()), (77, "upparat: no\n"))


class StartTests(AskingBench):
    def test_a_verb_that_asks_imports_little(self) -> None:
        missing = str(Path(os.path.abspath(self.directory), "none"))
        for words in (
            ["status"],
            ["log"],
            ["check-now"],
            ["approve"],
            ["defer", "a", "1h"],
            ["pause", "1h"],
            ["resume"],
        ):
            modules = imported_by(*words, "--socket", missing)
            self.assertIn("upparat.control.client", modules)
            # Python itself begins with an empty "zope" where Debian has installed zope.interface.
            heavy = {"twisted", "zope.interface", "asyncio", "ssl", "upparat.config.settings"}
            self.assertEqual(heavy & modules, set())
