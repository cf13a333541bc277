"""Job documents that are made of a file and of options."""

from __future__ import annotations

import hashlib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.bundle.document import check_document, make_document, read_minisig
from upparat.job import InvalidDocument


class DocumentTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.file = Path(self.mktemp())
        self.file.write_bytes(b"firmware")

    def test_the_least(self) -> None:
        self.assertEqual(
            make_document(self.file, "2.0"),
            {
                "action": "upparat-update",
                "version": "2.0",
                "size": 8,
                "sha256": hashlib.sha256(b"firmware").hexdigest(),
            },
        )

    def test_all_of_it(self) -> None:
        made = make_document(self.file, "2.0", signature="AA==", meta="m", force=True)
        self.assertEqual((made["signature"], made["meta"], made["force"]), ("AA==", "m", True))

    def test_problems(self) -> None:
        error = self.assertRaises(
            InvalidDocument, make_document, self.file, " 2", signature="?", certificate="x"
        )
        self.assertEqual(
            str(error),
            "version: begins or ends with white space; signature: must be base64; "
            "certificate: must be a PEM certificate",
        )

    def test_whose_job_it_is(self) -> None:
        documents: tuple[object, ...] = ([], {}, {"action": "other", "version": "2.0"})
        for document in documents:
            error = self.assertRaises(InvalidDocument, check_document, document)
            self.assertEqual(str(error), "action: must be 'upparat-update'")

    def test_no_minisign_signature(self) -> None:
        error = self.assertRaises(ValueError, read_minisig, self.file)
        self.assertIn("is not what minisign writes", str(error))
