"""``upparat check``: read the configuration file, and start nothing."""

from __future__ import annotations


def check(path: str | None) -> None:
    """Say that the file at ``path``, which has been read, is fine; ``None``: the defaults."""
    print(f"{path or 'the defaults'}: no problem found")
