"""The answer of the time server."""

from __future__ import annotations

import struct

from .ntp import TO_1900, answer


def test_it_has_the_time_and_the_stamp_of_the_query() -> None:
    query = bytes(40) + b"my stamp"
    told = answer(query, 1_000_000_000.5)
    assert len(told) == 48
    assert told[24:32] == b"my stamp"
    assert told[0] & 7 == 4  # a server
    assert struct.unpack(">II", told[40:]) == (1_000_000_000 + TO_1900, 2**31)
