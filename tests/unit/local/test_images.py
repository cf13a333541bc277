"""The images of the demonstration."""

from __future__ import annotations

from upparat.local.images import APART, changed, make_images

from .bench import Base


class Images(Base):
    def test_two_versions_and_their_files(self) -> None:
        first, second = make_images(self.directory / "images", 1000)
        self.assertEqual((first.version, second.version), ("2.0.0", "2.1.0"))
        self.assertNotEqual(first.job_id, second.job_id)
        self.assertEqual(first.file.stat().st_size, 1000)

    def test_most_of_the_second_image_is_the_first(self) -> None:
        image = bytes(2 * APART + 1)
        new = changed(image)
        places = [place for place in range(0, len(image), 1000) if any(new[place : place + 1000])]
        self.assertEqual(len(places), 11)
        self.assertGreater(len(new), len(image))
