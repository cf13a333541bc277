"""Runs the agent and tells about its inside: ``python -m tests.support.observed twistd …``.

At SIGUSR1 it writes what the reactor holds to the file that ``OBSERVED`` names, as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import signal
import sys
from pathlib import Path

from twisted.scripts.twistd import run

from .reactor import reactor


def tell(*_: object) -> None:
    gc.collect()
    facts = {
        "delayed_calls": len(reactor.getDelayedCalls()),
        "descriptors": len(reactor.getReaders() + reactor.getWriters()),
        "objects": len(gc.get_objects()),
    }
    file = Path(os.environ["OBSERVED"])
    file.with_suffix(".new").write_text(json.dumps(facts))
    file.with_suffix(".new").replace(file)


def main() -> None:
    signal.signal(signal.SIGUSR1, lambda *_: reactor.callFromThread(tell))
    sys.argv = sys.argv[1:]
    run()


if __name__ == "__main__":
    main()
