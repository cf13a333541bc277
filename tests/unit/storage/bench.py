"""A store in a directory of its own, for the tests of what is kept on disk."""

from __future__ import annotations

import os
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from upparat.job import ExecutionKey
from upparat.storage.directory import Files, Note, Store
from upparat.storage.part import PartialFile

KEY = ExecutionKey("job", 2, 1700000000)
OTHER = ExecutionKey("other", 1, 1600000000)


class StorageCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        self.store = Store(self.directory)
        self.store.prepare()
        self.files = self.store.files(KEY)

    def names(self) -> list[str]:
        return sorted(os.listdir(self.directory))

    def leave(self, key: ExecutionKey, *, complete: bool) -> Files:
        """The files of a download that was interrupted, or is complete."""
        files = self.store.files(key)
        part = PartialFile(files)
        part.write(b"content")
        if complete:
            part.commit(Note("/f", '"e"', 7, part.sha256))
        else:
            files.write_note(Note("/f", '"e"', 100))
        part.close()
        return files
