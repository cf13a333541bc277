"""``upparat bundle``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from tests.support.openssl import make_keys
from tests.unit.commands.bench import CommandBench, loaded
from upparat.bundle.archive import read_bundle
from upparat.commands import main as cli
from upparat.config.settings import VerifySettings
from upparat.download.verifier import Verifier
from upparat.job import ExecutionKey, Job, JobExecution, Status, parse_document
from upparat.signing.keys import load_keys


class BundleTests(CommandBench):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "app.bin"
        self.file.write_bytes(b"firmware")
        self.output = self.directory / "update.upparat"

    def bundle(self, *words: object) -> Any:
        cli.main(["bundle", str(self.file), "-o", str(self.output), *map(str, words)])
        with self.output.open("rb") as stream:
            return read_bundle(stream).document

    def job(self, document: Any) -> Job:
        execution = JobExecution(
            ExecutionKey("a", 1, 1), Status.QUEUED, 1, document={**document, "file": "https://x/"}
        )
        return parse_document(execution)

    def problem(self, *words: object) -> str:
        error = self.assertRaises(SystemExit, self.bundle, *words)
        self.assertEqual(error.code, 2)
        self.assertEqual([p.name for p in self.directory.glob(".update*")], [])
        return self.err.getvalue().strip().splitlines()[-1]

    def test_a_bundle(self) -> None:
        document = self.bundle("--version", "2.0", "--meta", "m", "--force-update")
        job = self.job(document)
        self.assertEqual((job.version, job.meta, job.force, job.size), ("2.0", "m", True, 8))
        self.assertEqual(self.output.stat().st_mode & 0o777, 0o644)

    def test_a_device_believes_the_signature(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        settings = VerifySettings(keys=load_keys(keys.public.read_bytes()), product="cam")
        document = self.bundle("--version", "2.0", "--sign", keys.private, "--product", "cam")
        self.assertEqual(Verifier(settings).objection(self.job(document)), "")
        given = self.bundle("--version", "2.0", "--signature", document["signature"])
        self.assertEqual(given["signature"], document["signature"])

    def test_one_that_is_there_stays_if_another_cannot_be_made(self) -> None:
        self.bundle("--version", "2.0")
        before = self.output.read_bytes()
        self.problem("--version", " 3")
        self.assertEqual(self.output.read_bytes(), before)

    def test_problems(self) -> None:
        key = make_keys(self.directory, "ed25519").private
        for words, told in (
            ([], "--version: is missing"),
            (["--version", "2", "--sign", key, "--signature", "AA=="], "--sign: there is a"),
            (["--version", "2", "--product", "cam"], "--product: needs --sign"),
            (["--version", "2", "--minisig", self.file], "is not what minisign writes"),
            (["--version", "2", "--minisig", "/nowhere"], "/nowhere: No such file or directory"),
            (["--version", "2", "--certificate", self.file], "certificate: must be a PEM"),
        ):
            self.assertIn(told, self.problem(*words))

    def test_a_directory_that_is_not_there(self) -> None:
        self.output = Path("/nowhere/update.upparat")
        self.assertIn("No such file or directory", self.problem("--version", "2"))

    def test_it_imports_no_agent(self) -> None:
        words = ["bundle", self.file, "--version", "2", "-o", self.output]
        modules = loaded(*words)
        self.assertEqual({"upparat.service", "cryptography", "paho"} & modules, set())
        self.assertTrue(os.path.exists(self.output))
