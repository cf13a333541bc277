"""Damaged bytes, and the memory that it takes to read them."""

from __future__ import annotations

import resource

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

MOST = 160 << 20
"""Bytes by which a process may grow: Hypothesis keeps examples too."""

_EXTREMES = st.sampled_from([b"\0", b"\1", b"\x7f", b"\x80", b"\x81", b"\xfe", b"\xff"])


@st.composite
def damaged(draw: st.DrawFn, data: bytes) -> bytes:
    """Draw bytes that differ from these at a few places, or are cut or longer."""
    result = bytearray(data)
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.integers(0, len(result)))
        new = draw(st.binary(max_size=9) | _EXTREMES)
        removed = draw(st.sampled_from([0, len(new), len(new), 10**6]))
        result[place : place + removed] = new
    return bytes(result)


class BoundedCase(SynchronousTestCase):
    """Fails if a test lets the process grow beyond :data:`MOST`."""

    def setUp(self) -> None:
        self.addCleanup(self._check, _peak())

    def _check(self, before: int) -> None:
        self.assertLess(_peak() - before, MOST)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
