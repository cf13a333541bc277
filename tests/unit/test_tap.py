"""The plugin's options: what ``twistd`` makes of them."""

from __future__ import annotations

import gc
import os
import sys
from io import StringIO
from pathlib import Path

from twisted.application.service import IService
from twisted.plugin import getPlugins
from twisted.python import usage
from twisted.python.logfile import LogFile
from twisted.trial.unittest import SynchronousTestCase

from upparat import tap
from upparat.config.reader import load
from upparat.service import UpparatService

FOREGROUND: dict[str, object] = {"nodaemon": 1, "logfile": None, "logger": None, "syslog": None}


class TapTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.patch(tap, "_log", tap._Log())
        self.err = StringIO()
        self.patch(sys, "stderr", self.err)

    def config(self, text: str = "") -> str:
        path = self.directory / "upparat.conf"
        directories = f"download_location = {self.directory}\nstate_dir = {self.directory}/state\n"
        path.write_text(f"[service]\n{directories}{text}")
        return str(path)


class OptionsTests(TapTestCase):
    def test_settings(self) -> None:
        options = tap.Options()
        options.parseOptions(["--config", self.config(), "--thing-name", "thing"])
        self.assertEqual(options.settings.broker.thing_name, "thing")

    def test_every_problem_is_told(self) -> None:
        path = self.config("log_level = LOUD\n[broker]\nport = x\n")
        error = self.assertRaises(SystemExit, tap.Options().parseOptions, ["-c", path])
        self.assertEqual(error.code, 2)
        lines = self.err.getvalue().splitlines()
        self.assertEqual(
            [line.split(":")[:2] for line in lines],
            [["upparat", " [service] log_level"], ["upparat", " [broker] port"]],
        )

    def test_the_plugin_is_found(self) -> None:
        from twisted.application.service import IServiceMaker

        [maker] = [each for each in getPlugins(IServiceMaker) if each.tapname == "upparat"]
        self.assertEqual(maker.options, tap.Options)

    def test_the_level_reaches_the_log(self) -> None:
        options = tap.Options()
        options.parent = usage.Options()
        options.parent.update(FOREGROUND)
        options.parseOptions(["-c", self.config("log_level = ERROR\n")])
        self.assertEqual(options.parent["logger"], "upparat.tap.observer")
        self.assertEqual(tap._log, tap._Log("ERROR", ""))


class NoGarbageTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.addCleanup(gc.unfreeze)

    def test_the_collector_leaves_alone_what_was_made(self) -> None:
        with tap.no_garbage():
            made = ["what is imported"]
        self.assertFalse(any(each is made for each in gc.get_objects()))

    def test_the_collector_goes_on(self) -> None:
        with tap.no_garbage():
            self.assertFalse(gc.isenabled())
        self.assertTrue(gc.isenabled())

    def test_a_collector_that_is_off_stays_off(self) -> None:
        gc.disable()
        self.addCleanup(gc.enable)
        with tap.no_garbage():
            pass
        self.assertFalse(gc.isenabled())

    def test_a_broken_installation(self) -> None:
        with self.assertRaises(ImportError), tap.no_garbage():
            raise ImportError("no such module")
        self.assertTrue(gc.isenabled())


class StartedByHandTests(TapTestCase):
    def by_hand(self, group: int | Exception, *, terminal: bool = True) -> bool:
        def tcgetpgrp(_: int) -> int:
            if isinstance(group, Exception):
                raise group
            return group

        self.patch(os, "tcgetpgrp", tcgetpgrp)
        with open(os.devnull) as stdin:
            self.patch(sys, "stdin", stdin)
            self.patch(self.err, "isatty", lambda: terminal)
            return tap.started_by_hand()

    def test_in_the_foreground_of_a_terminal(self) -> None:
        self.assertTrue(self.by_hand(os.getpgrp()))
        self.assertFalse(self.by_hand(os.getpgrp(), terminal=False))

    def test_in_the_background(self) -> None:
        self.assertFalse(self.by_hand(os.getpgrp() + 1))

    def test_on_the_console_of_an_init(self) -> None:
        """It is a terminal, but nobody's."""
        self.assertFalse(self.by_hand(OSError(25, "Inappropriate ioctl for device")))

    def test_without_stdin(self) -> None:
        self.patch(sys, "stdin", None)
        self.assertFalse(tap.started_by_hand())


class ChooseLoggerTests(TapTestCase):
    def chosen(self, **options: object) -> tap._Log:
        tap.choose_logger({**FOREGROUND, **options}, "INFO")
        return tap._log

    def test_foreground(self) -> None:
        self.assertEqual(self.chosen(), tap._Log("INFO", ""))

    def test_foreground_with_a_file(self) -> None:
        self.assertEqual(self.chosen(logfile="a.log").path, "a.log")

    def test_foreground_to_stdout(self) -> None:
        self.assertEqual(self.chosen(logfile="-").path, "")

    def test_daemon(self) -> None:
        self.assertEqual(self.chosen(nodaemon=0).path, "twistd.log")

    def test_daemon_with_a_file(self) -> None:
        self.assertEqual(self.chosen(nodaemon=0, logfile="/a.log").path, "/a.log")

    def test_a_daemon_has_no_stdout(self) -> None:
        self.assertRaises(usage.UsageError, self.chosen, nodaemon=0, logfile="-")

    def test_what_the_owner_chose_stands(self) -> None:
        for choice in ({"logger": "mine.observer"}, {"syslog": 1}):
            options = {**FOREGROUND, **choice}
            tap.choose_logger(options, "INFO")
            self.assertEqual(options, {**FOREGROUND, **choice})


class ObserverTests(TapTestCase):
    def test_a_file_that_is_rotated(self) -> None:
        opened: list[LogFile] = []
        self.patch(tap, "make_observer", lambda level, file: opened.append(file))
        path = self.directory / "a.log"
        self.patch(tap, "_log", tap._Log("INFO", str(path)))
        tap.observer()
        self.assertEqual((opened[0].path, opened[0].maxRotatedFiles), (str(path), 5))
        opened[0].close()

    def test_stdout(self) -> None:
        made: list[tuple[str, object]] = []
        self.patch(tap, "make_observer", lambda *arguments: made.append(arguments))
        tap.observer()
        self.assertEqual(made, [("WARNING", sys.stdout)])


class MakeServiceTests(TapTestCase):
    def test_it_is_a_service(self) -> None:
        prepared: list[object] = []
        self.patch(tap, "prepare_reactor", prepared.append)
        options = tap.Options()
        options.parseOptions(["-c", self.config()])
        service = tap.makeService(options)
        assert isinstance(service, UpparatService)
        assert service._claim is not None
        self.addCleanup(service._claim.release)
        self.assertTrue(IService.providedBy(service))
        self.assertEqual(len(prepared), 1)
        error = self.assertRaises(SystemExit, tap.makeService, options)
        self.assertEqual(error.code, tap.IN_USE)

    def test_directories_of_others_are_refused(self) -> None:
        options = tap.Options()
        options.parseOptions(["-c", self.config()])
        self.directory.chmod(0o777)
        error = self.assertRaises(SystemExit, tap.makeService, options)
        self.assertEqual(error.code, 2)
        self.assertIn(f"chmod o-w {self.directory}\n", self.err.getvalue())

    def test_as_the_user_that_twistd_is_to_become(self) -> None:
        options = tap.Options()
        options.parent = usage.Options()
        options.parent.update({"uid": 1000, "gid": None})
        options.settings = load(self.config())
        asked: list[object] = []
        self.patch(tap, "runAsEffectiveUser", lambda *arguments: asked.extend(arguments))
        self.patch(tap, "make_agent", lambda *arguments: None)
        tap.makeService(options)
        self.assertEqual(asked, [1000, os.getegid(), tap.claim_or_exit, options.settings])
