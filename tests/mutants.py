"""Changes the code and looks whether a test notices: ``python -m tests.mutants [MODULE …]``.

cosmic-ray makes the changes, one at a time, each in a copy of the tree. A mutant survives if the
tests of the module's name pass with it. Prints each survivor; not part of the tests.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).parent.parent
SCRIPTS = Path(sys.executable).parent

_PARTS = (
    "checking",
    "ending",
    "fetching",
    "installing",
    "model",
    "restarts",
    "selecting",
    "states",
    "versions",
)
_MACHINE = " ".join(f"tests/unit/machine/test_{part}.py" for part in _PARTS)

MODULES = {
    "upparat/download/response.py": "tests/unit/download/test_response.py",
    "upparat/iotjobs/reports.py": "tests/unit/iotjobs/test_reports.py",
    "upparat/iotjobs/requests.py": "tests/unit/iotjobs/test_requests.py",
    "upparat/job.py": "tests/unit/test_job.py",
    "upparat/joblog/logs.py": "tests/unit/joblog/test_logs.py",
    "upparat/joblog/segments.py": "tests/unit/joblog/test_segments.py",
    "upparat/joblog/uploader.py": "tests/unit/joblog/test_uploader.py",
    "upparat/machine/checking.py": _MACHINE,
    "upparat/machine/ending.py": _MACHINE,
    "upparat/machine/fetching.py": _MACHINE,
    "upparat/machine/guard.py": "tests/unit/machine/test_guard.py",
    "upparat/machine/ignored.py": "tests/unit/machine/test_ignored.py",
    "upparat/machine/installing.py": _MACHINE,
    "upparat/machine/model.py": _MACHINE,
    "upparat/machine/restarts.py": _MACHINE,
    "upparat/machine/selecting.py": _MACHINE,
    "upparat/machine/states.py": _MACHINE,
    "upparat/machine/versions.py": _MACHINE,
    "upparat/storage/record.py": "tests/unit/storage/test_record.py",
}
"""The modules that decide, and the tests that must notice."""

CONFIG = """\
[cosmic-ray]
module-path = "{module}"
timeout = 60.0
excluded-modules = []
test-command = "{python} -m unittest --failfast --quiet {tests}"
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = [
    # Of annotations, which nobody evaluates, and of numbers by all that is far from them
    "core/ReplaceBinaryOperator_(?!Add_Sub|Sub_Add|Mul_Div|Div_Mul).*",
    # Of members of an enumeration, and by what raises TypeError
    "core/ReplaceComparisonOperator_(?!Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In).*(Eq|Is|In)_.*",
    "core/ReplaceComparisonOperator_(?!Lt_LtE|LtE_Lt|Gt_GtE|GtE_Gt)(Lt|LtE|Gt|GtE)_.*",
]
"""


def run(directory: Path, *words: str) -> str:
    """Run a program of this Python in a directory, and return what it prints."""
    environment = {**os.environ, "UPPARAT_CASES": "20"}
    return subprocess.run(
        [str(SCRIPTS / words[0]), *words[1:]],
        cwd=directory,
        env=environment,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout


def mutate(module: str) -> str:
    """The report of one module: its survivors, and how many mutants there were."""
    with tempfile.TemporaryDirectory(prefix="upparat-mutants-") as name:
        directory = Path(name, "tree")
        for tree in ("tests", "upparat"):
            shutil.copytree(ROOT / tree, directory / tree)
        shutil.copy(ROOT / "pyproject.toml", directory)
        # Four times as fast as pytest, which has more to import
        tests = MODULES[module].replace(".py", "").replace("/", ".")
        config = CONFIG.format(module=module, tests=tests, python=sys.executable)
        (directory / "cosmic-ray.toml").write_text(config, encoding="utf-8")
        files = ("cosmic-ray.toml", "session.sqlite")
        run(directory, "cosmic-ray", "init", *files)
        run(directory, "cr-filter-operators", *reversed(files))
        run(directory, "cosmic-ray", "baseline", files[0])
        run(directory, "cosmic-ray", "exec", *files)
        return run(directory, "cr-report", "--surviving-only", "--show-diff", files[1])


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutants")
    parser.add_argument("modules", nargs="*", default=list(MODULES), metavar="MODULE")
    parser.add_argument("--at-once", type=int, default=os.cpu_count())
    arguments = parser.parse_args(argv)
    with ThreadPoolExecutor(arguments.at_once) as pool:
        for module, report in zip(
            arguments.modules, pool.map(mutate, arguments.modules), strict=True
        ):
            print(f"=== {module}\n{report}", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
