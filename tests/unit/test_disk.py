"""The mark of work on the disk, and directories that are synced."""

from __future__ import annotations

import errno
import os
import threading
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from upparat.disk import disk_work, sync_directory, waiting_since


class DiskWorkTests(SynchronousTestCase):
    def test_marked_while_it_lasts(self) -> None:
        self.assertIsNone(waiting_since())
        with disk_work():
            self.assertIsNotNone(waiting_since())
        self.assertIsNone(waiting_since())

    def test_the_first_mark_counts(self) -> None:
        with mock.patch("time.monotonic", side_effect=[5.0, 6.0]), disk_work():
            with disk_work():
                self.assertEqual(waiting_since(), 5.0)
            self.assertEqual(waiting_since(), 5.0)

    def test_an_error_ends_it(self) -> None:
        try:
            with disk_work():
                raise OSError
        except OSError:
            self.assertIsNone(waiting_since())

    def test_another_thread_holds_nobody_up(self) -> None:
        seen: list[float | None] = []

        def work() -> None:
            with disk_work():
                seen.append(waiting_since())

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        self.assertEqual(seen, [None])


class SyncTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.path.mkdir(parents=True)

    def test_by_path_or_descriptor(self) -> None:
        descriptor = os.open(self.path, os.O_RDONLY)
        self.addCleanup(os.close, descriptor)
        with mock.patch("os.fsync") as fsync:
            sync_directory(self.path)
            sync_directory(descriptor)
        self.assertEqual(fsync.call_count, 2)
        self.assertEqual(fsync.call_args.args, (descriptor,))

    def test_a_file_system_without_it(self) -> None:
        for number in (errno.EINVAL, errno.ENOTSUP):
            with mock.patch("os.fsync", side_effect=OSError(number, "no")):
                sync_directory(self.path)

    def test_a_broken_disk(self) -> None:
        with mock.patch("os.fsync", side_effect=OSError(errno.EIO, "broken")):
            self.assertRaises(OSError, sync_directory, self.path)

    def test_no_directory(self) -> None:
        self.assertRaises(OSError, sync_directory, self.path / "none")
