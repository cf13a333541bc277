"""Which mount a path is on."""

from __future__ import annotations

from pathlib import Path

from tests.unit.doctor.bench import DoctorBench
from upparat.doctor.mounts import mount_of

LINES = """\
20 1 8:1 / / rw,relatime shared:1 - ext4 /dev/root rw
21 20 0:20 / /data rw,nosuid - ext4 /dev/sda2 rw
22 20 0:21 / /data/a\\040b rw,noexec shared:2 master:1 - tmpfs tmpfs rw
23 20 0:22 / /data ro - squashfs /dev/loop0 ro
nonsense
"""


class MountTests(DoctorBench):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.directory / "mountinfo"
        self.file.write_text(LINES)

    def test_the_nearest_one_counts(self) -> None:
        found = mount_of(Path("/data/a b/c"), self.file)
        assert found is not None
        self.assertEqual((found.point, found.kind), (Path("/data/a b"), "tmpfs"))
        self.assertIn("noexec", found.options)
        self.assertTrue(found.volatile)

    def test_a_later_one_covers_an_earlier_one(self) -> None:
        found = mount_of(Path("/data/file"), self.file)
        assert found is not None
        self.assertEqual(found.kind, "squashfs")
        self.assertIn("ro", found.options)
        self.assertFalse(found.volatile)

    def test_the_root(self) -> None:
        found = mount_of(Path("/database"), self.file)
        assert found is not None
        self.assertEqual(found.point, Path("/"))

    def test_links_are_followed(self) -> None:
        link = self.directory / "link"
        link.symlink_to("/data/a b")
        found = mount_of(link / "state", self.file)
        assert found is not None
        self.assertEqual(found.kind, "tmpfs")

    def test_no_proc(self) -> None:
        self.assertIsNone(mount_of(Path("/"), self.directory / "missing"))
