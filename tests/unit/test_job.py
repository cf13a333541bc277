"""Jobs, their documents and the reports on them."""

from __future__ import annotations

import base64
import contextlib
import unicodedata
from dataclasses import FrozenInstanceError, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.support.anyjson import ANY_JSON, ODD, RELAXED, TEXTS, objects
from tests.support.ports import execution, key
from upparat.job import (
    ACTION,
    ExecutionKey,
    Hook,
    InvalidDocument,
    Job,
    JobExecution,
    JobExecutionSummary,
    Report,
    State,
    Status,
    log_url,
    parse_document,
)

SHA256 = "0123456789abcdef" * 4

STATES = {
    Status.IN_PROGRESS: """
        download_start download_progress download_interrupt
        installation_start installation_progress installation_interrupt
        reboot_start reboot_interrupt rollback_start waiting_for_window waiting_for_approval""",
    Status.SUCCEEDED: """
        version_already_installed no_installation_hook_provided no_restart_hook_provided
        complete_soft_restart complete_no_version_check complete_no_ready_check complete_ready""",
    Status.FAILED: """
        installation_hook_failed download_hook_failed restart_hook_failed version_hook_failed
        ready_hook_failed version_mismatch error_multiple_in_progress downgrade_refused
        download_failed verification_failed insufficient_storage incompatible""",
    Status.REJECTED: "invalid_job_document",
}


class StatusTests(SynchronousTestCase):
    def test_ended(self) -> None:
        alive = [status for status in Status if not status.ended]
        self.assertEqual(alive, [Status.QUEUED, Status.IN_PROGRESS])

    def test_names_of_aws(self) -> None:
        names = "QUEUED IN_PROGRESS SUCCEEDED FAILED REJECTED TIMED_OUT CANCELED REMOVED"
        self.assertEqual([status.value for status in Status], names.split())


class StateTests(SynchronousTestCase):
    def test_dashboards_know_these(self) -> None:
        expected = {name: status for status, names in STATES.items() for name in names.split()}
        self.assertEqual({state.value: state.status for state in State}, expected)

    def test_progress(self) -> None:
        progress = {state.value for state in State if state.progress}
        self.assertEqual(progress, {"download_progress", "installation_progress"})

    def test_failures_of_hooks(self) -> None:
        ending = set(Hook) - {Hook.ROLLBACK, Hook.CLEANUP}
        for hook in ending:
            self.assertIs(hook.failure.status, Status.FAILED)
        self.assertEqual(
            {hook.value: hook.failure.value for hook in ending},
            {
                "check": "incompatible",
                "version": "version_hook_failed",
                "download": "download_hook_failed",
                "install": "installation_hook_failed",
                "restart": "restart_hook_failed",
                "ready": "ready_hook_failed",
            },
        )


class ReportTests(SynchronousTestCase):
    def test_aws_admits_ten_details(self) -> None:
        kept = dict.fromkeys(("agent", "from", "hook", "exit_code", "stderr", "running"), "x")
        spare = {"to": "x", "runs": "x", "seconds": "x"}
        for rollback, left in (("done", {"to"}), ("none", {"to", "runs"})):
            facts = {**kept, **spare, "rollback": rollback}
            if rollback == "none":
                del facts["running"]
            details = Report(State.READY_HOOK_FAILED, "why", facts).details
            self.assertLessEqual(len(details), 10)
            self.assertEqual(set(spare) & set(details), left | ({"seconds"} & set(details)))
            self.assertEqual("rollback" in details, rollback == "done")

    def test_a_file_is_kept_while_it_has_a_use(self) -> None:
        kept = {state for state in State if not Report(state).discards}
        ended = {state for state in State if state.status.ended}
        self.assertEqual(kept & ended, {State.NO_INSTALLATION_HOOK_PROVIDED})
        self.assertEqual(kept - ended, set(State) - ended)

    def test_an_installation_is_done_with_a_success_that_has_installed(self) -> None:
        confirming = {state for state in State if Report(state).confirms}
        self.assertEqual(
            confirming,
            {
                State.COMPLETE_READY,
                State.COMPLETE_SOFT_RESTART,
                State.COMPLETE_NO_READY_CHECK,
                State.COMPLETE_NO_VERSION_CHECK,
                State.NO_RESTART_HOOK_PROVIDED,
            },
        )

    def test_values_do_not_change(self) -> None:
        one = execution("a")
        summary = JobExecutionSummary(one.key, Status.QUEUED)
        self.assertEqual(summary, JobExecutionSummary(one.key, Status.QUEUED))
        job = Job(one, version="2.0", file="https://h/f")
        for value, name in (
            (summary, "status"),
            (one, "status"),
            (job, "version"),
            (Report(State.COMPLETE_READY), "state"),
        ):
            self.assertRaises(FrozenInstanceError, setattr, value, name, "x")

    def test_details_with_facts(self) -> None:
        report = Report(State.COMPLETE_READY, facts={"to": "2.0", "from": "", "stderr": "a\n\x07b"})
        self.assertEqual(
            report.details,
            {"state": "complete_ready", "message": "none", "to": "2.0", "stderr": "a b"},
        )

    def test_details(self) -> None:
        report = Report(State.VERSION_MISMATCH, "expected\t2.0,\x1b[31m got\n1.0")
        self.assertIs(report.status, Status.FAILED)
        self.assertEqual(
            report.details, {"state": "version_mismatch", "message": "expected 2.0, got 1.0"}
        )

    def test_nothing_to_say(self) -> None:
        for report in (Report(State.COMPLETE_READY), Report(State.COMPLETE_READY, " \n\x1b[0m ")):
            self.assertEqual(report.details, {"state": "complete_ready", "message": "none"})

    @RELAXED
    @given(st.sampled_from(State), TEXTS)
    def test_any_is_within_the_rules_of_aws(self, state: State, message: str) -> None:
        for name, value in Report(state, message).details.items():
            self.assertIn(name, ("state", "message"))
            self.assertTrue(1 <= len(value) <= 1024)
            self.assertFalse([c for c in value if unicodedata.category(c).startswith("C")])


class ExecutionTests(SynchronousTestCase):
    def of(self, document: object, **details: str) -> JobExecution:
        return JobExecution(key(), Status.QUEUED, 1, details, document)

    def test_ours(self) -> None:
        self.assertTrue(self.of({"action": "upparat-update"}).ours)

    def test_not_ours(self) -> None:
        for document in (
            *(*ODD, ACTION, 1, [ACTION], {"Action": ACTION}),
            *({"action": odd} for odd in (*ODD, "other", "Upparat-Update", [ACTION])),
        ):
            self.assertFalse(self.of(document).ours, document)

    def test_state(self) -> None:
        self.assertEqual(self.of({}).state, "")
        self.assertEqual(self.of({}, state="reboot_start").state, "reboot_start")

    def test_names(self) -> None:
        self.assertEqual(self.of({}).job_id, "a")
        job = parse_document(execution())
        self.assertEqual((job.job_id, job.key), ("a", key()))

    def test_secrets_do_not_show(self) -> None:
        job = parse_document(execution(meta="private"))
        for text in (repr(job), repr(job.execution)):
            self.assertNotIn("secret", text)
            self.assertNotIn("private", text)
            self.assertIn("'a'", text)


class DocumentTests(SynchronousTestCase):
    def parse(self, **document: Any) -> Job:
        return parse_document(execution(**document))

    def problems(self, **document: Any) -> str:
        return str(self.assertRaises(InvalidDocument, self.parse, **document))

    def test_least(self) -> None:
        job = self.parse()
        self.assertEqual(job, Job(execution(), version="2.0", file="https://s3/f?secret"))
        self.assertEqual((job.meta, job.force, job.size, job.sha256), ("", False, None, None))

    def test_all(self) -> None:
        job = self.parse(meta="m", force=True, size=0, sha256=SHA256.upper())
        self.assertEqual((job.meta, job.force, job.size, job.sha256), ("m", True, 0, SHA256))

    def test_a_file_of_the_device_needs_an_order_of_the_device(self) -> None:
        file = "file:///media/usb/app#0+8"
        key = ExecutionKey("local@1", 1, 5)
        self.assertTrue(key.local)
        self.assertEqual(parse_document(replace(execution(file=file), key=key)).file, file)
        self.assertEqual(self.problems(file=file), "file: must be an https: or http: URL")

    def test_a_file_that_is_not_required(self) -> None:
        for file in ("${aws:iot:s3-presigned-url:https://s3/b/k}", 1, None):
            job = parse_document(execution(file=file), installed=True)
            self.assertEqual((job.version, job.file), ("2.0", ""))
        self.assertRaises(InvalidDocument, parse_document, execution(version=1), installed=True)

    def test_only_the_version_matters_once_it_is_installed(self) -> None:
        broken: dict[str, Any] = {"size": -1, "sha256": "x", "certificate": 1, "force": "yes"}
        broken["signature"] = "${aws:iot:code-sign-signature:s3://r.b/f@1}"
        job = parse_document(execution(**broken, meta="m"), installed=True)
        self.assertEqual((job.version, job.meta, job.force), ("2.0", "m", False))
        self.assertEqual((job.signature, job.size, job.sha256), (None, None, None))
        job = parse_document(execution(meta="a\0b"), installed=True)
        self.assertEqual(job.meta, "")

    def test_a_version_that_no_version_hook_can_print(self) -> None:
        for version in ("2.0\n", " 2.0", "2.0\t", "\u20032.0"):
            self.assertEqual(
                self.problems(version=version), "version: begins or ends with white space"
            )
        for version in ("2\n0", "2\x1b0", "2\u200b0", "2\ud8000"):
            self.assertEqual(
                self.problems(version=version), "version: holds a character that cannot be printed"
            )
        for version in ("2.0", "release 2 (beta)", "2.0~rc1+build:7", "ä"):
            self.assertEqual(self.parse(version=version).version, version)

    def test_null_is_absent(self) -> None:
        absent = dict.fromkeys(("meta", "force", "size", "sha256"))
        source = execution()
        assert isinstance(source.document, dict)
        document = {**source.document, **absent}
        job = parse_document(JobExecution(source.key, source.status, 1, document=document))
        self.assertEqual((job.meta, job.force, job.size, job.sha256), ("", False, None, None))
        document["version"] = None
        problem = self.assertRaises(
            InvalidDocument,
            parse_document,
            JobExecution(source.key, source.status, 1, document=document),
        )
        self.assertEqual(str(problem), "version: is missing")

    def test_unknown_keys_are_for_others(self) -> None:
        self.assertEqual(self.parse(steps=[], checksum="x").version, "2.0")

    def test_no_object(self) -> None:
        for document in (None, [1], "x", 1):
            problem = self.assertRaises(
                InvalidDocument, parse_document, JobExecution(key(), Status.QUEUED, 1, {}, document)
            )
            self.assertEqual(str(problem), "the document is not an object")

    def test_all_problems_at_once(self) -> None:
        self.assertEqual(
            self.problems(version=2, file="ftp://h/f", meta="\0", force="yes", size=-1, sha256=1),
            "version: must be a string, not a number; "
            "file: must be an https: or http: URL; "
            "meta: holds a NUL character; "
            "force: must be true or false, not a string; "
            "size: must be a number of bytes, 0 or more; "
            "sha256: must be 64 hexadecimal digits",
        )

    def test_texts(self) -> None:
        for name in ("version", "file"):
            for value, what in (
                (None, "is missing"),
                ("", "is empty"),
                (" \t", "is empty"),
                ("https://h/\0", "holds a NUL character"),
                (1, "must be a string, not a number"),
                (1.5, "must be a string, not a number"),
                (True, "must be a string, not a boolean"),
                (["x"], "must be a string, not a list"),
                ({"x": 1}, "must be a string, not an object"),
            ):
                self.assertEqual(self.problems(**{name: value}), f"{name}: {what}")

    def test_versions_are_any_text(self) -> None:
        for version in ("1", "v2.0-rc1+é", "2 0", "-x", "'; rm"):
            self.assertEqual(self.parse(version=version).version, version)

    def test_good_files(self) -> None:
        for file in (
            "https://b.s3.eu-west-1.amazonaws.com/k%20y?X-Amz-Security-Token=%2B&x=$",
            "http://127.0.0.1:8000/f",
            "HTTPS://[::1]:443/f#x",
            "https://user:pass@h",
            "https://h?x",
        ):
            self.assertEqual(self.parse(file=file).file, file)

    def test_bad_files(self) -> None:
        url = "must be an https: or http: URL"
        for file, what in {
            "file:///etc/passwd": url,
            "ftp://h/f": url,
            "s3://b/k": url,
            "/etc/passwd": url,
            "//h/f": url,
            "https:/h/f": url,
            "https:///f": url,
            "https://?x": url,
            "https://:443/f": url,
            "https://user@/f": url,
            "https://h:port/f": url,
            "https://h:70000/f": url,
            "https://h:0/f": url,
            "https://[::1/f": url,
            "xhttps://h/f": url,
            "https://h/a b": "holds white space or a control character",
            " https://h/f": "holds white space or a control character",
            "https://h/f\n": "holds white space or a control character",
            "https://h/\x7f": "holds white space or a control character",
            "https://h/\u2003": "holds white space or a control character",
            "${aws:iot:s3-presigned-url:https://s3.x.amazonaws.com/b/k}": (
                "holds a placeholder that was not replaced"
            ),
            "https://h/${x}": "holds a placeholder that was not replaced",
        }.items():
            self.assertEqual(self.problems(file=file), f"file: {what}", file)

    def test_meta(self) -> None:
        """Strings as they are, anything else as JSON."""
        for value, meta in (
            ("", ""),
            (' {"x": 1}\n', ' {"x": 1}\n'),
            ({"b": [1, True, None], "a": "é"}, '{"b": [1, true, null], "a": "é"}'),
            ([], "[]"),
            (0, "0"),
            (False, "false"),
            (1.5, "1.5"),
        ):
            self.assertEqual(self.parse(meta=value).meta, meta)

    def test_meta_with_a_nul(self) -> None:
        self.assertEqual(self.problems(meta="a\0b"), "meta: holds a NUL character")
        self.assertEqual(self.parse(meta=["a\0b"]).meta, '["a\\u0000b"]')

    def test_meta_that_is_nested_deeply(self) -> None:
        """AWS admits a depth of 1000, Python less: none between the two may break anything."""
        meta: list[Any] = []
        for _ in range(1000):
            meta = [meta]
            with contextlib.suppress(InvalidDocument):
                self.parse(meta=meta)
        for _ in range(100_000):
            meta = [meta]
        self.assertEqual(self.problems(meta=meta), "meta: is nested too deeply")

    def test_force(self) -> None:
        self.assertIs(self.parse(force=False).force, False)
        for value, name in ((1, "a number"), ("true", "a string"), ([1], "a list")):
            self.assertEqual(
                self.problems(force=value), f"force: must be true or false, not {name}"
            )

    def test_size(self) -> None:
        self.assertEqual(self.parse(size=2**40).size, 2**40)
        for value in (-1, 1.0, True, "1", [1], {"x": 1}):
            self.assertEqual(
                self.problems(size=value), "size: must be a number of bytes, 0 or more"
            )

    def test_sha256(self) -> None:
        for value in ("", SHA256[:-1], SHA256 + "0", SHA256 + "\n", SHA256[:-1] + "g", 1, [SHA256]):
            self.assertEqual(self.problems(sha256=value), "sha256: must be 64 hexadecimal digits")

    def test_sha512(self) -> None:
        self.assertEqual(self.parse(sha512="AB" * 64).sha512, "ab" * 64)
        self.assertEqual(self.problems(sha512=SHA256), "sha512: must be 128 hexadecimal digits")

    def test_digested(self) -> None:
        for digests in ({"sha256": SHA256}, {"sha512": SHA256 * 2}):
            self.assertTrue(self.parse(**digests).digested)
        self.assertFalse(self.parse().digested)

    def test_signature(self) -> None:
        """openssl breaks it into lines."""
        for text in ("AAECAw==", "AAEC\nAw==\n"):
            self.assertEqual(self.parse(signature=text).signature, b"\0\1\2\3")
        for text in ("AAECAw", "*", "ä", "comment: x"):
            self.assertEqual(self.problems(signature=text), "signature: must be base64")
        self.assertEqual(self.problems(signature=1), "signature: must be a string, not a number")
        self.assertEqual(
            self.problems(signature="${aws:iot:code-sign-signature:s3://r.b/f@1}"),
            "signature: holds a placeholder that was not replaced",
        )

    def test_a_signature_of_minisign(self) -> None:
        """Taken as it is: part of it is signed."""
        made, all_of_it = base64.b64encode(b"ED" + bytes(72)), base64.b64encode(bytes(64))
        text = "untrusted comment: ä\n{}\ntrusted comment: ü\t\n{}\n"
        text = text.format(made.decode(), all_of_it.decode())
        for same in (text, text.removesuffix("\n"), text.replace("\n", "\r\n")):
            self.assertEqual(self.parse(signature=same).signature, same.encode())
        for wrong, problem in (
            ("untrusted comment: x", "has 1 lines, not 4"),
            (text + text, "has 8 lines, not 4"),
            (text.replace("AAA", "A*A"), "line 2 is not base64"),
            (text.replace("\ntrusted", "\nuntrusted"), "line 3 is no trusted comment"),
        ):
            told = self.problems(signature=wrong)
            self.assertEqual(told, f"signature: is not what minisign writes: {problem}")
        half = self.problems(signature=text.replace("ü", "\ud800"))
        self.assertIn("signature: is not what minisign writes: 'utf-8' codec can't encode", half)

    def test_certificate(self) -> None:
        pem = "-----BEGIN CERTIFICATE-----\n"
        self.assertEqual(self.parse(certificate=pem).certificate, pem)
        self.assertEqual(self.problems(certificate="x"), "certificate: must be a PEM certificate")

    @RELAXED
    @given(
        objects(
            action=st.just("upparat-update"),
            version=TEXTS,
            file=TEXTS.map(lambda text: "https://" + text) | st.just("https://h/f"),
            meta=TEXTS,
            force=st.booleans(),
            size=st.integers(),
            sha256=st.text("0123456789abcdef", min_size=64, max_size=64),
            sha512=st.text("0123456789abcdef", min_size=128, max_size=128),
            signature=st.binary().map(lambda each: base64.b64encode(each).decode())
            | TEXTS
            | TEXTS.map(lambda text: f"untrusted comment:{text}"),
            certificate=TEXTS,
        )
        | ANY_JSON
    )
    def test_any(self, document: object) -> None:
        with contextlib.suppress(InvalidDocument):
            job = parse_document(JobExecution(key(), Status.QUEUED, 1, {}, document))
            self.assertRegex(job.file, "^[hH][tT][tT][pP][sS]?://")
            self.assertTrue(job.version)
            self.assertNotIn("\0", job.version + job.file + job.meta)
            self.assertIs(type(job.force), bool)
            self.assertIn(type(job.size), (int, type(None)))
            self.assertIn(type(job.signature), (bytes, type(None)))

    @RELAXED
    @given(objects(version=TEXTS, file=st.just("https://h/f"), meta=ANY_JSON))
    def test_a_problem_names_a_key_of_the_document(self, document: dict[str, object]) -> None:
        try:
            parse_document(JobExecution(key(), Status.QUEUED, 1, {}, document))
        except InvalidDocument as invalid:
            names = {problem.split(": ")[0] for problem in str(invalid).split("; ")}
            signed = {"sha256", "sha512", "signature", "certificate"}
            self.assertLessEqual(names, {"version", "file", "meta", "force", "size", *signed})


class LogUrlTests(SynchronousTestCase):
    def url(self, document: object) -> str:
        return log_url(JobExecution(key(), Status.QUEUED, 1, {}, document))

    def test_none(self) -> None:
        documents: tuple[object, ...] = (None, [], "log_url", {}, {"log_url": None})
        for document in documents:
            self.assertEqual(self.url(document), "")

    def test_a_wrong_document_may_have_a_right_one(self) -> None:
        self.assertEqual(self.url({"version": 5, "log_url": "https://h/log"}), "https://h/log")

    def test_a_wrong_one_does_not_reject_the_document(self) -> None:
        document = {"version": "2", "file": "https://h/f", "log_url": "secret ${x}"}
        execution = JobExecution(key(), Status.QUEUED, 1, {}, document)
        self.assertEqual(parse_document(execution).version, "2")
        problem = str(self.assertRaises(InvalidDocument, log_url, execution))
        self.assertEqual(problem, "log_url: holds a placeholder that was not replaced")

    @RELAXED
    @given(objects(log_url=TEXTS | TEXTS.map(lambda text: f"https://{text}")) | ANY_JSON)
    def test_any(self, document: object) -> None:
        with contextlib.suppress(InvalidDocument):
            self.assertRegex(self.url(document), "^([hH][tT][tT][pP][sS]?://.*)?$")
