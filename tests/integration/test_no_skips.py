"""The rule of ``tests/conftest.py`` that a run for CI admits no skip."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

CONFTEST = Path(__file__).parent.parent / "conftest.py"

TESTS = """
import pytest, unittest

def test_skipped():
    pytest.skip("no broker")

@pytest.mark.skipif(True, reason="no broker")
def test_marked(): pass

class Case(unittest.TestCase):
    def test(self):
        raise unittest.SkipTest("no broker")

@pytest.mark.xfail(reason="known")
def test_expected():
    assert False
"""


def run(directory: Path, text: str, no_skips: str) -> subprocess.CompletedProcess[str]:
    (directory / "conftest.py").write_text(CONFTEST.read_text())
    (directory / "test_it.py").write_text(text)
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--rootdir=.", "-q", "-ra"],
        cwd=directory,
        env=os.environ | {"UPPARAT_NO_SKIPS": no_skips, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_kind_of_skip_fails(tmp_path: Path) -> None:
    ran = run(tmp_path, TESTS, "1")
    assert "2 failed, 1 xfailed, 1 error" in ran.stdout
    assert "admits no skip: " in ran.stdout
    assert "no broker" in ran.stdout
    assert ran.returncode == 1


def test_a_module_that_skips_itself_fails(tmp_path: Path) -> None:
    ran = run(tmp_path, "import pytest\npytest.importorskip('no_such_module')\n", "1")
    assert "1 error" in ran.stdout
    assert ran.returncode != 0


def test_otherwise_skips_are_reported(tmp_path: Path) -> None:
    ran = run(tmp_path, TESTS, "0")
    assert "3 skipped, 1 xfailed" in ran.stdout
    assert ran.returncode == 0
