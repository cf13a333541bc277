"""Tests with real parts, inside of the tests' own processes."""

from __future__ import annotations

from tests.support.sweep import LONG

collect_ignore = [] if LONG else ["test_publish.py"]
