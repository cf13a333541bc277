"""The directories: whose they are, whether they last, and whether they can be written to."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tests.unit.doctor.bench import QUICK, DoctorBench, examination, levels
from upparat.config.settings import ServiceSettings, Settings
from upparat.doctor import disk
from upparat.doctor.finding import Finding

PLAIN = "20 1 8:1 / / rw - ext4 /dev/root rw\n"


class DiskTests(DoctorBench):
    def setUp(self) -> None:
        super().setUp()
        self.path = self.directory / "state"
        self.path.mkdir(mode=0o700)
        self.mounts(PLAIN)

    def mounts(self, text: str) -> None:
        self.mountinfo = self.directory / "mountinfo"
        self.mountinfo.write_text(text)

    def judged(self, path: Path | None = None, *, least: int = 1, lasting: bool = True) -> Finding:
        where = path or self.path
        return disk.judge_directory(
            "state_dir", where, least, lasting=lasting, mountinfo=self.mountinfo
        )

    def test_a_good_one(self) -> None:
        (self.path / "record.json").write_text("{}")
        self.says(self.judged(), "ok", "on ext4", "synced")
        self.assertEqual([each.name for each in self.path.iterdir()], ["record.json"])

    def test_one_that_is_missing_is_not_made(self) -> None:
        path = self.path / "a" / "b"
        self.says(self.judged(path), "ok", "is made when the agent starts")
        self.assertFalse(path.parent.exists())

    def test_one_that_others_can_write_to(self) -> None:
        self.path.chmod(0o777)
        self.says(self.judged(), "failed", "by others", f"Type: chmod go-w {self.path}")

    def test_one_of_another_user(self) -> None:
        self.patch(os, "geteuid", lambda: os.getuid() + 1)
        self.says(self.judged(), "failed", "another user", "as the user of the agent")

    def test_one_that_is_a_file(self) -> None:
        file = self.directory / "file"
        file.touch()
        self.says(self.judged(file), "failed", "is not a directory")

    def test_one_that_cannot_be_written_to(self) -> None:
        def refuse(*_: object) -> None:
            raise OSError(30, "Read-only file system")

        self.patch(os, "fsync", refuse)
        self.says(self.judged(), "failed", "Read-only file system", "See the reason")
        self.mounts("20 1 8:1 / / ro - ext4 /dev/root ro\n")
        self.says(self.judged(), "failed", "Mount / for writing")

    def test_one_that_cannot_be_made(self) -> None:
        self.patch(os, "access", lambda *_: False)
        self.says(self.judged(self.path / "a"), "failed", "cannot be made")

    def test_one_that_a_reboot_empties(self) -> None:
        self.mounts("20 1 8:1 / / rw - tmpfs none rw\n")
        self.says(self.judged(), "warning", "on tmpfs", "reboot")
        self.says(self.judged(lasting=False), "ok", "on tmpfs")

    def test_a_disk_that_is_nearly_full(self) -> None:
        self.says(self.judged(least=1 << 60), "warning", "KiB left")

    def test_a_disk_without_inodes(self) -> None:
        def found(files: Sequence[int]) -> os.statvfs_result:
            return os.statvfs_result((4096, 4096, 100, 90, 80, *files, 0, 255, 0))

        full = disk.judge_space("state_dir", self.path, 1, found([10, 0, 0]))
        assert full is not None
        self.says(full, "warning", "no more files")
        self.assertIsNone(disk.judge_space("state_dir", self.path, 1, found([10, 5, 5])))
        # Btrfs counts none.
        self.assertIsNone(disk.judge_space("state_dir", self.path, 1, found([0, 0, 0])))

    def test_a_disk_that_hangs(self) -> None:
        release = threading.Event()
        self.addCleanup(release.set)
        self.patch(os, "fsync", lambda _: release.wait())
        service = ServiceSettings(state_dir=self.path)
        made = examination(settings=Settings(service=service), limits=replace(QUICK, disk=0.1))
        self.says(next(iter(disk.examine(made))), "failed", "hangs", "no answer in 0 s")

    def test_both_are_tried(self) -> None:
        service = ServiceSettings(
            state_dir=self.path, download_location=self.directory / "downloads"
        )
        self.patch(disk, "LEAST_DOWNLOADS", 0)
        found = disk.examine(examination(settings=Settings(service=service)))
        names = [name for name, _ in levels(found)]
        self.assertEqual(names, ["state_dir", "download_location"])
