"""Compares two versions by Debian's rules, which order any two strings.

See ``deb-version(7)``: a version is ``[epoch:]upstream[-revision]``. Each part is compared from
left to right: text, number, text, number. ``~`` sorts before everything, even before the end:
``2.0~rc1`` is older than ``2.0``. Semantic versioning's ``2.0.0-rc.1`` is newer than ``2.0.0`` by
these rules.
"""

from __future__ import annotations

import re
from itertools import zip_longest

_EPOCH = re.compile(r"([0-9]+):(.*)", re.DOTALL)
_PIECES = re.compile(r"([^0-9]*)([0-9]*)")


def older(version: str, than: str) -> bool:
    """True if ``version`` is older than ``than``.

    An empty version is older than any other, except one that begins with ``~``.
    """
    return _compare(version, than) < 0


def _compare(one: str, two: str) -> int:
    for a, b in zip(_parts(one), _parts(two), strict=True):
        if order := _compare_parts(a, b):
            return order
    return 0


def _parts(version: str) -> tuple[str, str, str]:
    """Split a version into epoch, upstream version and revision. A missing part is empty."""
    match = _EPOCH.fullmatch(version)
    epoch, rest = (match[1], match[2]) if match else ("", version)
    upstream, _, revision = rest.rpartition("-") if "-" in rest else (rest, "", "")
    return epoch, upstream, revision


def _compare_parts(one: str, two: str) -> int:
    for (text, number), (other, size) in zip_longest(
        _pieces(one), _pieces(two), fillvalue=("", "")
    ):
        for a, b in zip_longest(text, other, fillvalue=""):
            if order := _rank(a) - _rank(b):
                return order
        if order := _compare_numbers(number, size):
            return order
    return 0


def _pieces(part: str) -> list[tuple[str, str]]:
    return _PIECES.findall(part)


def _rank(character: str) -> int:
    """Rank a character: ``~`` first, then the end, letters, everything else."""
    if character == "~":
        return -1
    if not character:
        return 0
    letter = character.isascii() and character.isalpha()
    return ord(character) if letter else ord(character) + 256


def _compare_numbers(one: str, two: str) -> int:
    """Compare two numbers as text, because ``int`` refuses thousands of digits."""
    (a, b) = ((len(digits), digits) for digits in (one.lstrip("0"), two.lstrip("0")))
    return (a > b) - (a < b)
