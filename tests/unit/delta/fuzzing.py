"""Damaged bytes, and the memory that it takes to read them."""

from __future__ import annotations

import random
import resource
from collections.abc import Iterator

from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

MOST = 160 << 20
"""Bytes by which a process may grow: Hypothesis keeps examples too."""

CASES = 20
"""Damaged ones in each example: to draw a number costs more than to read most of them."""

SEEDS = st.integers(0, (1 << 64) - 1)

_EXTREMES = [b"\0", b"\1", b"\x7f", b"\x80", b"\x81", b"\xfe", b"\xff"]


def dices(seed: int) -> Iterator[random.Random]:
    """What makes each case of an example."""
    for number in range(CASES):
        yield random.Random(f"{seed} {number}")


def damaged(dice: random.Random, data: bytes) -> bytes:
    """Make bytes that differ from these at a few places, or are cut or longer."""
    result = bytearray(data)
    for _ in range(dice.randrange(5)):
        place = dice.randint(0, len(result))
        new = dice.choice([*_EXTREMES, dice.randbytes(dice.randrange(10))])
        result[place : place + dice.choice([0, len(new), len(new), 10**6])] = new
    return bytes(result)


class BoundedCase(SynchronousTestCase):
    """Fails if a test lets the process grow beyond :data:`MOST`."""

    def setUp(self) -> None:
        self.addCleanup(self._check, _peak())

    def _check(self, before: int) -> None:
        self.assertLess(_peak() - before, MOST)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
