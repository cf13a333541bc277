"""Headless Chromium, told what to do through a pipe by its DevTools Protocol.

Each message is JSON with a NUL behind it: https://chromedevtools.github.io/devtools-protocol/
"""

from __future__ import annotations

import base64
import itertools
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any, Self

import pytest

from .waiting import PATIENCE

CHROMIUM = shutil.which("chromium")

requires_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="chromium is not installed: apt-get install chromium"
)

QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
)
"""A browser that does nothing but what it is told."""

# Chromium reads from descriptor 3 and writes to 4.
_WITH_PIPES = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'


class Chromium:
    """A browser with one tab, while it is a context.

    :param profile: a directory for what it keeps.
    """

    def __init__(self, profile: Path) -> None:
        self._profile = profile
        self._numbers = itertools.count(1)
        self._rest = b""
        self._session: str | None = None

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        (its_input, self._input), (self._output, its_output) = os.pipe(), os.pipe()
        command = [CHROMIUM, *QUIET, "--remote-debugging-pipe", f"--user-data-dir={self._profile}"]
        pipes = [str(its_input), str(its_output)]
        self._process = subprocess.Popen(
            ["/bin/bash", "-c", _WITH_PIPES, "bash", *pipes, *command],
            pass_fds=(its_input, its_output),
            stderr=subprocess.DEVNULL,
        )
        os.close(its_input)
        os.close(its_output)
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self._session = attached["sessionId"]
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._input)  # it ends by that
        try:
            self._process.wait(PATIENCE)
        finally:
            self._process.kill()
            os.close(self._output)

    def open(self, url: str) -> None:
        """Open a page; its scripts may still be at work."""
        self.call("Page.navigate", url=url)

    def text(self) -> str:
        """The text that the page shows now."""
        return str(self.run("document.body.innerText"))

    def run(self, expression: str) -> Any:
        """The value of an expression of JavaScript."""
        return self.call("Runtime.evaluate", expression=expression)["result"].get("value")

    def picture(self, file: Path, width: int, height: int, *, dark: bool = False) -> None:
        """Write a PNG of the page as a screen of this size shows it."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=width < 600,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        shot = self.call("Page.captureScreenshot", format="png")
        file.write_bytes(base64.b64decode(shot["data"]))

    def call(self, method: str, **parameters: object) -> dict[str, Any]:
        """Call a method of the protocol, and return its result."""
        number = next(self._numbers)
        message: dict[str, object] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._input, json.dumps(message).encode() + b"\0")
        while (answer := self._message()).get("id") != number:
            pass
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            data = os.read(self._output, 1 << 20)
            assert data, "Chromium has ended"
            self._rest += data
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        return message
