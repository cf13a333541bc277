"""The arguments that become a job document."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from tests.unit.commands.bench import CommandBench
from upparat.commands import updating


class UpdatingTests(CommandBench):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "app.bin"
        self.file.write_bytes(b"firmware")

    def document(self, *words: object, signature: str = "") -> Any:
        parser = argparse.ArgumentParser()
        parser.add_argument("file", type=Path)
        updating.add_arguments(parser)
        arguments = parser.parse_args([str(self.file), "--version", "2.0", *map(str, words)])
        return updating.document_of(arguments, signature)

    def test_the_least(self) -> None:
        document = self.document()
        self.assertEqual(sorted(document), ["action", "sha256", "size", "version"])

    def test_each_member(self) -> None:
        pem = self.directory / "signer.pem"
        pem.write_text("-----BEGIN CERTIFICATE-----\n")
        words = ["--signature", "AA==", "--certificate", pem, "--meta", "m", "--force-update"]
        document = self.document(*words)
        self.assertEqual(
            (document["signature"], document["certificate"]), ("AA==", pem.read_text())
        )
        self.assertEqual((document["meta"], document["force"]), ("m", True))

    def test_a_signature_that_was_just_made(self) -> None:
        self.assertEqual(self.document(signature="BB==")["signature"], "BB==")

    def test_two_signatures(self) -> None:
        self.assertRaises(SystemExit, self.document, "--signature", "AA==", "--minisig", "x")

    def test_what_is_wrong_is_named(self) -> None:
        def refused(problem: Exception) -> str:
            with self.assertRaises(argparse.ArgumentError) as caught, updating.refusals():
                raise problem
            return str(caught.exception)

        self.assertEqual(refused(ValueError("version: is empty")), "version: is empty")
        missing = FileNotFoundError(2, "No such file or directory", "/a")
        self.assertEqual(refused(missing), "/a: No such file or directory")
