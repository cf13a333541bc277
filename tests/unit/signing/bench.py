"""A directory for the files of a test, and messages in it."""

from __future__ import annotations

import hashlib
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.storage.part import Stored


class Bench(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.directory.mkdir(parents=True)
        self.file = self.directory / "file"

    def message(self, content: bytes) -> Stored:
        self.file.write_bytes(content)
        sha256 = hashlib.sha256(content).hexdigest()
        return Stored(self.file, len(content), sha256, lambda: True)
