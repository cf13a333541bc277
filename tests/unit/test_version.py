"""Versions in order, as ``dpkg`` has it."""

from __future__ import annotations

import itertools
import shutil
import subprocess

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from upparat.version import older

ORDERED = [
    *("~", "0~", "0", "0.0", "0.9", "0.10"),
    *("1.0~~", "1.0~beta1", "1.0~rc1", "1.0", "1.0-1", "1.0-1a", "1.0-1+b1", "1.0-10"),
    *("1.0a", "1.0+git1", "1.0.1", "2.0", "10", "20261123"),
    *("a", "v1", "v2", "v10", "va", "1:0", "1:0.1", "2:0"),
]

VERSIONS = st.builds(
    lambda epoch, upstream, revision: f"{epoch}0{upstream}{revision}",
    st.sampled_from(["", "0:", "1:", "00:"]),
    st.text("019ab.+~", max_size=6),
    st.text("01a.+~", max_size=3).map(lambda text: f"-{text}" if text else ""),
)


class OlderTests(SynchronousTestCase):
    def test_in_order(self) -> None:
        for (i, one), (j, two) in itertools.product(enumerate(ORDERED), repeat=2):
            self.assertEqual(older(one, two), i < j, (one, two))

    def test_equal(self) -> None:
        for one, two in (("1.0", "1.00"), ("0:1", "1"), ("1.0", "1.0-0"), ("01", "1"), ("", "0")):
            self.assertFalse(older(one, two))
            self.assertFalse(older(two, one))

    def test_huge(self) -> None:
        self.assertTrue(older("9" * 10_000, "1" + "0" * 10_000))

    @given(st.text(), st.text())
    def test_any(self, one: str, two: str) -> None:
        self.assertFalse(older(one, two) and older(two, one))
        self.assertFalse(older(one, one))

    @settings(deadline=None)
    @given(VERSIONS, VERSIONS)
    def test_as_dpkg_does(self, one: str, two: str) -> None:
        dpkg = shutil.which("dpkg")
        if dpkg is None:
            raise SkipTest("dpkg is not there")
        told = subprocess.run([dpkg, "--compare-versions", one, "lt", two], check=False)
        self.assertEqual(older(one, two), told.returncode == 0, (one, two))
