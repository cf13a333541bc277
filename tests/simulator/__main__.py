"""AWS IoT Jobs for one thing on a plain broker: ``python -m tests.simulator --help``."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from .cloud import Cloud
from .faults import Request


def show(request: Request) -> None:
    """Print a request on one line as it arrives."""
    body = {name: value for name, value in request.body.items() if name != "clientToken"}
    print(" ".join(filter(None, [request.operation, request.job_id, json.dumps(body)])), flush=True)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulator", description=__doc__)
    parser.add_argument("thing", help="the thing's name")
    parser.add_argument("documents", nargs="*", type=Path, help="each becomes a job of its name")
    parser.add_argument("--host", default="127.0.0.1", help="the broker's; default: %(default)s")
    parser.add_argument("--port", type=int, default=1883, help="the broker's; default: %(default)s")
    arguments = parser.parse_args(argv)
    signals = {signal.SIGINT, signal.SIGTERM}
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)  # before the client's thread starts
    with Cloud(arguments.port, arguments.thing, host=arguments.host, heard=show) as cloud:
        print(f"{arguments.thing} on {arguments.host}:{arguments.port}", flush=True)
        for path in arguments.documents:
            cloud.create_job(path.stem, json.loads(path.read_text(encoding="utf-8")))
        signal.sigwait(signals)
    print("\n".join(cloud.breaches + cloud.errors) or "AWS would have accepted every request")
    return 1 if cloud.breaches or cloud.errors else 0


if __name__ == "__main__":
    sys.exit(main())
