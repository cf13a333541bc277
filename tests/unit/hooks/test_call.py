"""The arguments and the environment of a hook."""

from __future__ import annotations

import os
from dataclasses import replace

from tests.unit.hooks.case import JOB, HookTestCase
from upparat.hooks.call import Call
from upparat.job import Hook
from upparat.ports import LOOPBACK


class CallTests(HookTestCase):
    def test_arguments(self) -> None:
        own = {
            Hook.INSTALL: [b"/tmp/f"],
            Hook.RESTART: [b"True"],
            Hook.ROLLBACK: [b"ready_hook_failed"],
            Hook.CLEANUP: [b"complete_ready"],
        }
        for hook in Hook:
            word = b"" if hook is Hook.RESTART else own.get(hook, [b""])[0]
            self.run_hook(hook, file=word.decode())
            expected = [b"/hooks/" + hook.value.encode(), b"--flag", b"0", b"0", "mäta".encode()]
            self.assertEqual(self.command(), [*expected, *own.get(hook, [])])
            self.reactor.last.ends()

    def test_no_force_is_an_empty_argument(self) -> None:
        self.run_hook(Hook.RESTART, replace(JOB, force=False, meta=""))
        self.assertEqual(self.command()[2:], [b"0", b"0", b"", b""])
        self.assertEqual(self.reactor.last.env[b"UPPARAT_FORCE"], b"")

    def test_environment(self) -> None:
        self.run_hook(Hook.INSTALL, file="/tmp/f")
        added = {
            b"UPPARAT_JOB_ID": b"job",
            b"UPPARAT_VERSION": b"2.0",
            b"UPPARAT_FILE": b"/tmp/f",
            b"UPPARAT_META": "mäta".encode(),
            b"UPPARAT_FORCE": b"True",
            b"UPPARAT_RETRY": b"0",
            b"UPPARAT_ELAPSED": b"0",
            b"UPPARAT_HOOK": b"install",
            b"UPPARAT_AGENT": b"/state",
        }
        self.assertEqual(self.reactor.last.env, {**os.environb, **added})

    def test_a_file_that_the_hook_fetches(self) -> None:
        url = "http://127.0.0.1:1/token"
        job = replace(JOB, size=5, sha256="ab", sha512="cd")
        call = Call(Hook.INSTALL, job, LOOPBACK, url=url)
        self.assertEqual(call.arguments()[3], url.encode())
        expected = {
            b"UPPARAT_FILE": url.encode(),
            b"UPPARAT_URL": url.encode(),
            b"UPPARAT_SIZE": b"5",
            b"UPPARAT_SHA256": b"ab",
            b"UPPARAT_SHA512": b"cd",
        }
        self.assertEqual(expected.items() - call.environment().items(), set())
        bare = replace(call, job=JOB).environment()
        self.assertEqual((bare[b"UPPARAT_SIZE"], bare[b"UPPARAT_SHA256"]), (b"", b""))

    def test_the_end_of_a_job(self) -> None:
        reason = {b"UPPARAT_REASON": b"Exit code: 1", b"UPPARAT_FILE": b""}
        for hook, name in (
            (Hook.ROLLBACK, b"UPPARAT_FAILED_STATE"),
            (Hook.CLEANUP, b"UPPARAT_STATE"),
        ):
            self.runner.run(hook, JOB, "ready_hook_failed", "Exit code: 1")
            expected = {**reason, name: b"ready_hook_failed"}
            self.assertEqual({**self.reactor.last.env, **expected}, self.reactor.last.env)
            self.reactor.last.launched()
            self.reactor.last.ends()

    def test_lone_surrogates_do_not_raise(self) -> None:
        self.run_hook(Hook.VERSION, replace(JOB, meta="a\ud800b"))
        self.assertEqual(self.command()[-1], b"a?b")
