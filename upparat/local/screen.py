"""Shows a job's updates: a progress bar on a terminal, plain lines anywhere else."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable

from upparat.publish.progress import Console
from upparat.publish.progress import bar as byte_bar

from .aws import ExecutionStatus
from .watch import Update, Watcher


class Screen(Console):
    """Prints a job's updates. On a terminal, a progress bar is redrawn in place."""

    def update(self, update: Update) -> None:
        """Print a status that the device has sent."""
        stamp = f"  {update.time:%H:%M:%S.%f}"[:-3]
        if update.state == "download_progress":
            self.progress(f"{stamp}  {bar(update.message)}")
            return
        message = "" if update.message == "none" else update.message
        self.line(f"{stamp}  {update.status:<11}  {update.state:<22}  {message}".rstrip())


def follow(
    watcher: Watcher,
    screen: Screen,
    execution: Callable[[], ExecutionStatus | None],
    *,
    timeout: float = math.inf,
    tick: Callable[[], object] = lambda: None,
) -> ExecutionStatus:
    """Print the updates of a device until the execution has ended.

    :param tick: called several times a second.
    :raises TimeoutError: if the execution has not ended after ``timeout`` seconds.
    """
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        for update in watcher.updates(timeout=0.1):
            screen.update(update)
        tick()
        now = execution()
        if now is not None and now.status.ended:
            for update in watcher.updates():
                screen.update(update)
            return now
    raise TimeoutError(f"the job has not ended after {timeout:g} seconds")


def bar(message: str) -> str:
    """Format a ``download_progress`` message as a bar, or as bytes if the total is unknown."""
    try:
        progress = json.loads(message)
        done, total = int(progress["downloaded_bytes"]), int(progress.get("total_bytes") or 0)
        reused = int(progress.get("reused_bytes") or 0)
    except (ValueError, TypeError, KeyError):
        return message
    if not total:
        return f"{done / 1e6:.1f} MB"
    return byte_bar(done, total) + (f", {reused / 1e6:.1f} from the seed" if reused else "")
