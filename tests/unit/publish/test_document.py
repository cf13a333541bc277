"""Job documents, and signatures that agents accept."""

from __future__ import annotations

import base64
import json

from tests.support.openssl import make_keys
from upparat.publish import document as module
from upparat.publish.document import encoded, job_document, load_key, signature_of
from upparat.publish.request import BadArgument
from upparat.signing.keys import load_keys
from upparat.signing.signatures import Text, statement, verified

from .bench import PLACE, PublishBench


class DocumentTests(PublishBench):
    def made(self, version: str = "2.0.0", **more: object) -> dict[str, object]:
        return job_document(PLACE.placeholder, version, self.firmware(), **more)  # type: ignore[arg-type]

    def problem(self, document: dict[str, object]) -> str:
        return str(self.assertRaises(BadArgument, encoded, document))

    def test_what_every_document_has(self) -> None:
        firmware = self.firmware()
        self.assertEqual(
            json.loads(encoded(self.made())),
            {
                "action": "upparat-update",
                "version": "2.0.0",
                "file": PLACE.placeholder,
                "sha256": firmware.sha256,
                "size": 8,
            },
        )

    def test_what_it_may_have(self) -> None:
        log = PLACE.upload_placeholder
        delta = PLACE.placeholder
        made = self.made(signature="AAAA", meta="slot B", force=True, log=log, delta=delta)
        more = {key: made[key] for key in ("signature", "meta", "force", "log_url", "delta")}
        self.assertEqual(
            more,
            {
                "signature": "AAAA",
                "meta": "slot B",
                "force": True,
                "log_url": log,
                "delta": delta,
            },
        )
        self.assertEqual(json.loads(encoded(made)), made)

    def test_a_place_for_the_log_of_each_execution(self) -> None:
        log = "${aws:iot:s3-presigned-url-upload:https://s3.r.amazonaws.com/b/${thingName}.txt}"
        encoded(self.made(log=log))

    def test_what_an_agent_would_reject(self) -> None:
        self.assertEqual(
            self.problem(self.made(" 2")), "--version: begins or ends with white space"
        )
        self.assertEqual(self.problem(self.made("")), "--version: is empty")
        self.assertEqual(self.problem(self.made(meta="a\0b")), "--meta: holds a NUL character")
        self.assertEqual(
            self.problem(self.made(log="ftp://h")), "--log-url: must be an https: or http: URL"
        )
        self.assertIn("--log-url: holds a placeholder", self.problem(self.made(log="${x}")))
        self.assertIn("--delta: holds a placeholder", self.problem(self.made(delta="${x}")))

    def test_the_size_that_aws_admits(self) -> None:
        room = module.MOST_BYTES - len(encoded(self.made(meta="x")))
        encoded(self.made(meta="x" * (room + 1)))
        told = self.problem(self.made(meta="x" * (room + 2)))
        self.assertEqual(told, "--meta: the job document has 32769 bytes, AWS admits 32768")


class SignatureTests(PublishBench):
    def test_an_agent_accepts_them(self) -> None:
        keys = make_keys(self.directory, "p256")
        [public] = load_keys(keys.public.read_bytes())
        for product in ("", "board-A"):
            made = signature_of(load_key(keys.private), "2.0.0", "ab" * 32, product)
            text = Text(statement("2.0.0", "ab" * 32, product))
            self.assertTrue(verified(public, base64.b64decode(made), text))

    def test_keys_that_cannot_be_used(self) -> None:
        missing, other = self.directory / "missing", self.file(b"no key")
        error = self.assertRaises(BadArgument, load_key, missing)
        self.assertEqual(str(error), f"--sign: {missing}: No such file or directory")
        error = self.assertRaises(BadArgument, load_key, other)
        self.assertTrue(str(error).startswith(f"--sign: {other} holds no private key"))
        self.assertNotIn("\n", str(error))

    def test_a_version_that_cannot_be_signed(self) -> None:
        key = load_key(make_keys(self.directory, "ed25519").private)
        error = self.assertRaises(BadArgument, signature_of, key, "2\n3", "ab" * 32, "")
        self.assertTrue(str(error).startswith("--version: "))
