"""The local AWS without any process: files, texts, arguments."""

from __future__ import annotations

import ctypes
import hashlib
import io
import json
import os
import stat
import sys
from datetime import datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from tests.support.certs import Authority
from upparat.config import reader as config
from upparat.job import Hook, Status
from upparat.local import (
    aws,
    cli,
    demo,
    die_with_parent,
    loopback,
    ministack,
    policies,
    screen,
    watch,
)
from upparat.local.device import Device

EVERYWHERE = "0.0.0.0"  # noqa: S104
TIME = datetime(2026, 11, 23, 12, 30, 1, 250000)


class Base(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()

    def make_device(self, name: str = "device", *, hooks: bool = False) -> Device:
        device = Device("thing-1", self.directory / name)
        authority = Authority()
        ca = authority.write(self.directory / "authority.pem")
        files = (ca, *authority.issue(self.directory, "device"))
        device.write_keys(*(Path(file).read_text() for file in files))
        if hooks:
            device.write_hooks()
        return device


class DeviceFiles(Base):
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
        self.assertEqual(
            settings.hooks.commands, {hook: (str(device.hook(hook)),) for hook in Hook}
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


class Tether(SynchronousTestCase):
    def setUp(self) -> None:
        self.calls: list[object] = []
        libc = SimpleNamespace(prctl=lambda *args: self.calls.append(("prctl", *args)))
        self.patch(ctypes, "CDLL", lambda *_, **__: libc)
        self.patch(os, "execv", lambda *args: self.calls.append(("execv", *args)))

    def test_it_becomes_the_command_once_it_is_tied(self) -> None:
        die_with_parent.main([str(os.getppid()), "/bin/x", "y"])
        self.assertEqual(self.calls, [("prctl", 1, 9), ("execv", "/bin/x", ["/bin/x", "y"])])

    def test_a_parent_that_has_gone_meanwhile_is_noticed(self) -> None:
        self.assertRaises(SystemExit, die_with_parent.main, [str(os.getpid()), "/bin/x"])
        self.assertEqual(self.calls, [("prctl", 1, 9)])

    def test_the_command_line_names_this_process_as_the_parent(self) -> None:
        words = die_with_parent.dying_with_parent(["/bin/x", "y"])
        self.assertEqual(
            words[1:], ["-m", "upparat.local.die_with_parent", str(os.getpid()), "/bin/x", "y"]
        )


class Loopback(SynchronousTestCase):
    def test_the_address_is_replaced(self) -> None:
        seen: list[object] = []
        create = loopback.on_loopback(lambda *args, **named: seen.append((args, named)))
        create("loop", "factory", host=EVERYWHERE, port=1)
        create("loop", "factory", EVERYWHERE, 2)
        self.assertEqual(
            seen,
            [
                (("loop", "factory", "127.0.0.1"), {"port": 1}),
                (("loop", "factory", "127.0.0.1", 2), {}),
            ],
        )

    def test_a_socket_that_is_bound_already_keeps_its_address(self) -> None:
        seen: list[object] = []
        create = loopback.on_loopback(lambda *args, **named: seen.append((args, named)))
        create("loop", "factory", sock="socket")
        self.assertEqual(seen, [(("loop", "factory", None), {"sock": "socket"})])


class Start(Base):
    def test_nothing_of_the_users_own_settings_reaches_it(self) -> None:
        names = ("AWS_PROFILE", "MINISTACK_HOST", "COVERAGE_PROCESS_CONFIG", "PERSIST_STATE")
        with mock.patch.dict(os.environ, dict.fromkeys(names, "1")):
            environment = ministack.MiniStack(self.directory)._environment(self.directory)
        self.assertEqual([name for name in names[:3] if name in environment], [])
        self.assertEqual(environment["PERSIST_STATE"], "0")
        self.assertEqual(environment["TMPDIR"], str(self.directory))
        self.assertEqual(environment["AUTH"], "true")

    def test_the_tail_of_a_log(self) -> None:
        log = self.directory / "log"
        self.assertEqual(ministack.tail(log), "")
        log.write_bytes(b"1\n2\xff\n3\n")
        self.assertEqual(ministack.tail(log, 2), "2\ufffd\n3")


class FakeIot:
    """Answers like boto3's client; ``answers`` are its executions, one a call."""

    class exceptions:
        class ResourceNotFoundException(Exception):
            pass

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, object]]] = []
        self.answers: list[dict[str, object]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda **named: self.calls.append((name, named))

    def describe_job_execution(self, **_: object) -> dict[str, object]:
        if not self.answers:
            raise self.exceptions.ResourceNotFoundException
        return {"execution": self.answers.pop(0)}


def answer(status: str, **details: str) -> dict[str, object]:
    execution: dict[str, object] = {"status": status, "versionNumber": 2, "executionNumber": 1}
    return execution | ({"statusDetails": {"detailsMap": details}} if details else {})


class Jobs(SynchronousTestCase):
    def setUp(self) -> None:
        self.cloud = aws.Cloud("http://127.0.0.1:1", 2)
        self.iot = self.cloud.__dict__["iot"] = FakeIot()
        self.s3 = self.cloud.__dict__["s3"] = FakeIot()

    def test_a_job_names_its_things_and_the_role(self) -> None:
        self.cloud.create_job("j", {"a": 1}, ["t", "u"], expires=60, description="d")
        [(name, named)] = self.iot.calls
        self.assertEqual(name, "create_job")
        self.assertEqual(
            named,
            {
                "jobId": "j",
                "targets": [policies.thing_arn("t"), policies.thing_arn("u")],
                "document": '{"a": 1}',
                "presignedUrlConfig": {"roleArn": policies.ROLE_ARN, "expiresInSec": 60},
                "description": "d",
            },
        )

    def test_an_upload_gives_what_the_document_says(self) -> None:
        file = self.cloud.upload("a/b.bin", b"x")
        self.assertEqual(self.s3.calls[0][1]["Key"], "a/b.bin")
        self.assertEqual(
            file,
            "${aws:iot:s3-presigned-url:"
            "https://s3.us-east-1.amazonaws.com/upparat-local-files/a/b.bin}",
        )

    def test_an_execution_is_read(self) -> None:
        self.iot.answers = [answer("IN_PROGRESS", state="s", message="m"), answer("QUEUED")]
        first, second = self.cloud.execution("j", "t"), self.cloud.execution("j", "t")
        assert first is not None
        assert second is not None
        self.assertEqual((first.status, first.state), (Status.IN_PROGRESS, "s"))
        self.assertEqual((second.status, second.state, second.number), (Status.QUEUED, "", 1))
        self.assertIsNone(self.cloud.execution("j", "t"))

    def test_waiting_ends_with_the_execution(self) -> None:
        self.patch(aws, "_POLL_INTERVAL", 0)
        self.iot.answers = [answer("QUEUED"), answer("IN_PROGRESS"), answer("FAILED")]
        self.assertEqual(self.cloud.wait("j", "t").status, Status.FAILED)

    def test_waiting_is_limited(self) -> None:
        self.iot.answers = [answer("QUEUED")]
        error = self.assertRaises(TimeoutError, self.cloud.wait, "j", "t", timeout=-1)
        self.assertIn("QUEUED", str(error))

    def test_cancel_and_delete(self) -> None:
        self.cloud.cancel("j")
        self.cloud.delete("j", force=True)
        self.assertEqual(
            self.iot.calls,
            [
                ("cancel_job", {"jobId": "j", "force": False}),
                ("delete_job", {"jobId": "j", "force": True}),
            ],
        )

    def test_missing_packages_are_named_with_the_remedy(self) -> None:
        self.patch(aws, "find_spec", lambda name: None if name == "boto3" else name)
        error = self.assertRaises(ministack.LocalAwsError, aws.require_packages)
        self.assertEqual(str(error), "boto3 not installed: run pip install 'upparat[local]'")


class Watch(SynchronousTestCase):
    def setUp(self) -> None:
        cafile = Path(self.mktemp())
        Authority().write(cafile)
        self.watcher = watch.Watcher(1, cafile, "t")

    def receive(self, payload: bytes) -> list[watch.Update]:
        message = SimpleNamespace(topic="$aws/things/t/jobs/j/update", payload=payload)
        self.watcher._received(None, None, message)
        return list(self.watcher.updates())

    def test_an_update_is_read(self) -> None:
        payload = {"status": "FAILED", "statusDetails": {"state": "s", "message": "m"}}
        [update] = self.receive(json.dumps(payload).encode())
        self.assertEqual((update.job_id, update.status), ("j", "FAILED"))
        self.assertEqual((update.state, update.message), ("s", "m"))

    def test_details_may_be_missing(self) -> None:
        [update] = self.receive(b'{"status": "FAILED"}')
        self.assertEqual((update.state, update.message), ("", ""))

    def test_what_is_no_update_is_passed_over(self) -> None:
        for payload in (b"\xff", b"[]", b"{}"):
            self.assertEqual(self.receive(payload), [])


class FakeStream(io.StringIO):
    tty = False

    def isatty(self) -> bool:
        return self.tty


def update(state: str, message: str = "none", status: str = "IN_PROGRESS") -> watch.Update:
    return watch.Update("j", status, {"state": state, "message": message}, TIME)


def progress(done: int, total: int | None = None) -> watch.Update:
    message = {"downloaded_bytes": done} | ({"total_bytes": total} if total else {})
    return update("download_progress", json.dumps(message))


class Display(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = FakeStream()
        self.screen = screen.Screen(self.stream)

    def test_plain_lines_where_there_is_no_terminal(self) -> None:
        self.screen.update(update("download_start"))
        self.screen.update(progress(5_000_000, 20_000_000))
        self.screen.update(update("download_failed", "no room", "FAILED"))
        self.assertEqual(
            self.stream.getvalue(),
            "  12:30:01.250  IN_PROGRESS  download_start\n"
            "  12:30:01.250  [#######.......................]  25 %  5.0 of 20.0 MB\n"
            "  12:30:01.250  FAILED       download_failed         no room\n",
        )

    def test_a_terminal_has_one_bar_that_moves(self) -> None:
        self.stream.tty = True
        self.screen = screen.Screen(self.stream)
        self.screen.update(progress(0, 10))
        self.screen.update(progress(10, 10))
        self.screen.line("done")
        before, first, rest = self.stream.getvalue().split("\r")
        self.assertEqual(before, "")
        self.assertIn(" 0 %", first)
        self.assertNotIn("\n", first)
        self.assertIn("100 %", rest)
        self.assertEqual(rest.splitlines()[1:], ["done"])

    def test_without_a_total_there_is_no_bar(self) -> None:
        self.assertEqual(screen.bar('{"downloaded_bytes": 1500000}'), "1.5 MB")

    def test_progress_that_is_not_ours_is_shown_as_it_is(self) -> None:
        self.assertEqual(screen.bar("half"), "half")
        self.assertEqual(screen.bar("[1]"), "[1]")
        self.assertEqual(screen.bar('{"downloaded_bytes": "x"}'), '{"downloaded_bytes": "x"}')


class FakeWatcher:
    def __init__(self, *batches: list[watch.Update]) -> None:
        self.batches = list(batches)

    def updates(self, timeout: float = 0) -> list[watch.Update]:
        return self.batches.pop(0) if self.batches else []


def execution(status: Status) -> aws.ExecutionStatus:
    return aws.ExecutionStatus(status, 1, 1, {"state": "s"})


class Follow(SynchronousTestCase):
    def setUp(self) -> None:
        self.stream = FakeStream()
        self.screen = screen.Screen(self.stream)

    def follow(self, watcher: object, *answers: aws.ExecutionStatus | None, **named: Any) -> Any:
        left = list(answers)
        return screen.follow(watcher, self.screen, lambda: left.pop(0), **named)  # type: ignore

    def test_it_shows_everything_up_to_the_end(self) -> None:
        watcher = FakeWatcher([update("a")], [update("b")], [update("c"), update("d")])
        ticks: list[None] = []
        end = self.follow(
            watcher,
            None,
            execution(Status.SUCCEEDED),
            tick=lambda: ticks.append(None),
        )
        self.assertEqual(end.status, Status.SUCCEEDED)
        self.assertEqual(
            [line.split()[-1] for line in self.stream.getvalue().splitlines()], [*"abcd"]
        )
        self.assertEqual(len(ticks), 2)

    def test_it_is_limited(self) -> None:
        self.assertRaises(TimeoutError, self.follow, FakeWatcher(), timeout=-1)


class DemoRun(Base):
    def setUp(self) -> None:
        super().setUp()
        self.stream = FakeStream()
        self.demo = demo.Demo(self.directory, screen.Screen(self.stream), 10)

    def test_success(self) -> None:
        self.demo.run = lambda: None  # type: ignore[method-assign]
        self.assertEqual(demo._run(self.demo, 0.0), 0)
        self.assertIn("Version 2.0.0 is installed", self.stream.getvalue())

    def fail_with(self, error: BaseException) -> int:
        def run() -> None:
            raise error

        self.demo.run = run  # type: ignore[method-assign]
        return demo._run(self.demo, 0.0)

    def test_a_failure_shows_the_logs(self) -> None:
        self.demo.aws.log_file.parent.mkdir()
        self.demo.aws.log_file.write_text("stack's last words")
        self.demo.agent.log_file.parent.mkdir()
        self.demo.agent.log_file.write_text("agent's last words")
        self.assertEqual(self.fail_with(ValueError("no luck")), 1)
        shown = self.stream.getvalue()
        self.assertIn("stack's last words", shown)
        self.assertIn("agent's last words", shown)
        self.assertIn("failed: no luck", shown)

    def test_an_interrupt(self) -> None:
        self.assertEqual(self.fail_with(KeyboardInterrupt()), 130)

    def check(self, status: Status, installed: bytes) -> None:
        self.demo.digest = hashlib.sha256(b"wanted").hexdigest()
        self.demo.device.rootfs.mkdir(parents=True)
        (self.demo.device.rootfs / "firmware").write_bytes(installed)
        self.demo._check(execution(status))

    def test_the_right_file_and_status_pass(self) -> None:
        self.check(Status.SUCCEEDED, b"wanted")

    def test_another_status_is_a_failure(self) -> None:
        error = self.assertRaises(ministack.LocalAwsError, self.check, Status.REJECTED, b"wanted")
        self.assertIn("REJECTED", str(error))

    def test_another_file_is_a_failure(self) -> None:
        self.assertRaises(ministack.LocalAwsError, self.check, Status.SUCCEEDED, b"other")

    def test_a_bad_exit_status_of_the_agent_is_a_failure(self) -> None:
        self.demo.agent.stop = lambda: 1  # type: ignore[method-assign]
        self.assertRaises(ministack.LocalAwsError, self.demo._stop_agent)


class CommandLine(Base):
    def setUp(self) -> None:
        super().setUp()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_without_a_command_it_starts(self) -> None:
        started: list[Any] = []
        self.patch(cli, "start", lambda arguments: started.append(arguments) or 0)  # type: ignore[func-returns-value]
        self.assertEqual(cli.main([]), 0)
        self.assertEqual(cli.main(["here", "--thing", "t"]), 0)
        self.assertEqual(
            [(arguments.directory, arguments.thing) for arguments in started],
            [("upparat-local", "my-device"), ("here", "t")],
        )

    def test_help_tells_of_both_commands(self) -> None:
        self.assertRaises(SystemExit, cli.main, ["--help"])
        self.assertIn("start", self.out.getvalue())
        self.assertIn("job", self.out.getvalue())

    def test_a_job_needs_a_local_aws_that_runs(self) -> None:
        self.assertEqual(cli.main(["job", "-d", str(self.directory), "f", "1"]), 1)
        self.assertIn("start upparat-local", self.err.getvalue())

    def test_a_job_needs_a_file(self) -> None:
        self.patch(cli, "_connect", lambda _: (aws.Cloud("", 0), Device("t", self.directory)))
        missing = str(self.directory / "missing")
        self.assertEqual(cli.main(["job", missing, "1"]), 1)
        self.assertIn(f"{missing}: No such file", self.err.getvalue())

    def test_missing_packages_are_told(self) -> None:
        self.patch(aws, "find_spec", lambda _: None)
        self.assertEqual(cli.main([]), 1)
        self.assertIn("pip install 'upparat[local]'", self.err.getvalue())

    def test_the_document_of_a_job(self) -> None:
        arguments = cli._parser().parse_args(["job", "f", "1.0", "--meta", "m", "--force"])
        self.assertEqual(
            cli._document(arguments, "url"),
            {
                "action": "upparat-update",
                "version": "1.0",
                "file": "url",
                "force": True,
                "meta": "m",
            },
        )
        arguments = cli._parser().parse_args(["job", "f", "1.0"])
        self.assertNotIn("meta", cli._document(arguments, "url"))

    def test_a_dead_ministack_is_noticed(self) -> None:
        local = aws.LocalAws(self.directory)
        error = self.assertRaises(ministack.LocalAwsError, cli._wait, local)
        self.assertIn("ministack.log", str(error))
