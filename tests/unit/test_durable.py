"""Boot ids and synced directories."""

from __future__ import annotations

from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from upparat.linux import read_boot_id, sync_directory


class DurableTests(SynchronousTestCase):
    def test_the_boot_of_this_machine(self) -> None:
        self.assertEqual(len(read_boot_id()), 36)
        self.assertEqual(read_boot_id(), read_boot_id())

    def test_no_boot_id(self) -> None:
        self.assertEqual(read_boot_id(Path(self.mktemp())), "")

    def test_a_directory_is_synced(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir(parents=True)
        with mock.patch("os.fsync") as fsync:
            sync_directory(directory)
        self.assertEqual(fsync.call_count, 1)

    def test_no_directory(self) -> None:
        self.assertRaises(OSError, sync_directory, Path(self.mktemp()))
