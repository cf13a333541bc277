"""``upparat sign``, judged by the ``openssl`` command and by what the agent says."""

from __future__ import annotations

import base64
import getpass
import hashlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.support.minisign import minisign
from tests.support.openssl import make_keys, openssl
from tests.unit.commands.bench import loaded
from upparat.commands import main as cli
from upparat.job import ExecutionKey, JobExecution, Status, parse_document
from upparat.signing.keys import load_keys
from upparat.signing.signatures import Text, statement, verified

DOCS = Path(__file__).parent.parent.parent.parent / "docs" / "signing.md"
CONTENT = b"firmware"
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class SignTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.file = self.directory / "file"
        self.file.write_bytes(CONTENT)
        self.out, self.err = StringIO(), StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def sign(
        self, key: Path, version: str = "2.0", file: Path | None = None, more: Sequence[str] = ()
    ) -> Any:
        self.out.truncate(0)
        self.out.seek(0)
        options = ["--key", str(key), "--version", version, *more]
        cli.main(["sign", *options, str(file or self.file)])
        return json.loads(self.out.getvalue())

    def problem(self, *arguments: Any, **more: Any) -> str:
        error = self.assertRaises(SystemExit, self.sign, *arguments, **more)
        self.assertEqual(error.code, 2)
        return self.err.getvalue().strip().splitlines()[-1]

    def test_each_kind_of_key(self) -> None:
        for kind in ("ed25519", "p256", "p384", "rsa"):
            keys = make_keys(self.directory, kind)
            made = self.sign(keys.private)
            signature = base64.b64decode(made.pop("signature"))
            self.assertEqual(made, {"version": "2.0", "size": 8, "sha256": SHA256})
            [key] = load_keys(keys.public.read_bytes())
            self.assertTrue(verified(key, signature, Text(statement("2.0", SHA256))), kind)

    def test_a_product(self) -> None:
        keys = make_keys(self.directory, "p256")
        made = self.sign(keys.private, more=["--product", "board A"])
        signature = base64.b64decode(made.pop("signature"))
        self.assertEqual(made, {"version": "2.0", "size": 8, "sha256": SHA256})
        [key] = load_keys(keys.public.read_bytes())
        self.assertTrue(verified(key, signature, Text(statement("2.0", SHA256, "board A"))))

    def test_products_that_no_device_can_have(self) -> None:
        keys = make_keys(self.directory, "p256")
        told = "upparat sign: error: argument --product: "
        empty = self.problem(keys.private, more=["--product", ""])
        self.assertEqual(empty, f"{told}is empty")
        for product in (" A", "A ", "A\nversion: 3", "é", "x" * 129):
            problem = self.problem(keys.private, more=["--product", product])
            self.assertIn(f"{told}{product!r} holds other characters", problem)

    def test_it_imports_no_reactor(self) -> None:
        keys = make_keys(self.directory, "ed25519")
        modules = loaded("sign", "--key", keys.private, "--version", "2.0", self.file)
        self.assertIn("upparat.commands.sign", modules)
        self.assertNotIn("twisted.internet.reactor", modules)

    def test_openssl_agrees(self) -> None:
        keys = make_keys(self.directory, "p384")
        signature, text = self.directory / "signature", self.directory / "text"
        signature.write_bytes(base64.b64decode(self.sign(keys.private)["signature"]))
        text.write_bytes(statement("2.0", SHA256))
        openssl("dgst", "-sha384", "-verify", keys.public, "-signature", signature, text)

    def test_the_commands_of_the_docs(self) -> None:
        """Two ways to the same: both signatures hold."""
        ours, ours_for_product, theirs, theirs_for_product, _ = self.blocks()
        for product, block, other in (
            ("", ours, theirs),
            ("board-A", ours_for_product, theirs_for_product),
        ):
            told = [self.run_block(each) for each in (block, other)]
            [key] = load_keys((self.directory / "firmware.pem").read_bytes())
            for signature in (json.loads(told[0])["signature"], told[1]):
                message = Text(statement("2.0.0", SHA256, product))
                self.assertTrue(verified(key, base64.b64decode(signature), message), product)

    def test_the_commands_of_the_docs_for_minisign(self) -> None:
        minisign("-v")
        *_, block = self.blocks()
        text = json.loads(self.run_block(block).splitlines()[-1])
        parsed = parse_document(
            JobExecution(
                ExecutionKey("job", 1, 1),
                Status.QUEUED,
                1,
                document={"version": "2.0.0", "file": "https://h/f", "signature": text},
            )
        )
        [key] = load_keys((self.directory / "minisign.pub").read_bytes())
        message = Text(statement("2.0.0", SHA256))
        self.assertTrue(verified(key, parsed.signature or b"", message))

    def blocks(self) -> list[str]:
        return re.findall(r"^```sh\n(.*?)^```", DOCS.read_text(), re.DOTALL | re.MULTILINE)

    def run_block(self, block: str) -> bytes:
        """What commands print that work on a file ``2.0.0.bin``."""
        (self.directory / "2.0.0.bin").write_bytes(CONTENT)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", block],
            cwd=self.directory,
            env={**os.environ, "PATH": path},
            check=True,
            capture_output=True,
        ).stdout

    def test_a_passphrase(self) -> None:
        keys, encrypted = make_keys(self.directory, "p256"), self.directory / "encrypted"
        openssl("pkey", "-in", keys.private, "-aes256", "-passout", "pass:word", "-out", encrypted)
        self.patch(getpass, "getpass", lambda prompt: "word")
        self.assertEqual(self.sign(encrypted)["sha256"], SHA256)
        self.patch(getpass, "getpass", lambda prompt: "wrong")
        self.assertIn("holds no private key that can be used", self.problem(encrypted))

    def test_problems(self) -> None:
        keys, missing = make_keys(self.directory, "p256"), self.directory / "missing"
        no_file = f"upparat sign: error: {missing}: No such file or directory"
        self.assertEqual(self.problem(missing), no_file)
        self.assertEqual(self.problem(keys.private, file=missing), no_file)
        self.assertIn("holds no private key", self.problem(keys.public))
        weak = make_keys(self.directory, "p521").private
        told = f"upparat sign: error: {weak}: an EC key must be on P-256 or P-384, not on secp521r1"
        self.assertEqual(self.problem(weak), told)
        self.assertIn("cannot be printed", self.problem(keys.private, "2\n0"))
