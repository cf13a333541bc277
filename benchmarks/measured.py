"""A shell command with all its children, and what it has cost, as JSON: for benchmarks.

``python -m benchmarks.measured DIRECTORY COMMAND``

The memory is that of its largest process. A small process starts it, because a child counts what
its parent had as its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time


def main() -> None:
    directory, command = sys.argv[1:]
    begin = time.perf_counter()
    ran = subprocess.run(
        ["sh", "-ec", command], cwd=directory, check=True, stdout=subprocess.PIPE, text=True
    )
    wall = time.perf_counter() - begin
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = usage.ru_utime + usage.ru_stime
    facts = {"wall": wall, "cpu": cpu, "resident": usage.ru_maxrss, "told": ran.stdout}
    print(json.dumps(facts))


if __name__ == "__main__":
    main()
