"""The page of the simulator says what works: its commands and its examples run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from tests.e2e.updates import Updates
from tests.simulator import faults
from tests.simulator.cloud import Cloud
from tests.support.mosquitto import MOSQUITTO, Mosquitto
from tests.support.tcpports import free_port
from tests.support.waiting import listens, wait_until

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "tests/simulator/README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


@contextmanager
def process(command: str, directory: Path) -> Iterator[Path]:
    """Run a command of the page in a directory; its output goes to the file."""
    words = shlex.split(command)
    output = directory / f"{words[0]}-{words[-1]}.out"
    paths = [Path(sys.executable).parent, Path(MOSQUITTO or "").parent, os.environ["PATH"]]
    environment = {**os.environ, "PATH": ":".join(map(str, paths)), "PYTHONPATH": str(ROOT)}
    with output.open("w") as stream:
        child = subprocess.Popen(
            words, cwd=directory, env=environment, stdout=stream, stderr=subprocess.STDOUT
        )
    try:
        yield output
    finally:
        child.terminate()
        assert child.wait() in (0, -15), output.read_text()


def test_by_itself(tmp_path: Path, broker: Mosquitto) -> None:
    """The broker of the page has the port of another one, which the test does not need."""
    broker.stop()
    ports = {"1883": str(broker.port), "8000": str(free_port())}
    document, config, commands = (
        re.sub("1883|8000", lambda match: ports[match[0]], block)
        for block in (*blocks("json"), *blocks("ini"), *blocks("sh"))
    )
    (tmp_path / "job-1.json").write_text(document)
    (tmp_path / "device.conf").write_text(config)
    make_file, broker_, server, simulator, agent = commands.replace(" &\n", "\n").splitlines()
    subprocess.run(make_file, shell=True, check=True, cwd=tmp_path)  # noqa: S602
    with ExitStack() as stack:
        for command, port in ((broker_, broker.port), (server, int(ports["8000"]))):
            stack.enter_context(process(command, tmp_path))
            wait_until(partial(listens, "127.0.0.1", port))
        command = simulator.replace("my-device", f"--port {broker.port} my-device")
        heard = stack.enter_context(process(command, tmp_path))
        wait_until(lambda: "my-device on" in heard.read_text())
        stack.enter_context(process(agent, tmp_path))
        wait_until(lambda: "SUCCEEDED" in heard.read_text())
    printed = heard.read_text()
    assert printed.endswith("AWS would have accepted every request\n")
    [shown] = blocks("text")
    for line in shown.replace("1883", str(broker.port)).splitlines():
        assert re.search(re.escape(line).replace("…", ".*"), printed), line


def test_with_a_device_of_the_test(broker: Mosquitto) -> None:
    example = blocks("python")[0].replace("1883", str(broker.port))
    exec(compile(example, "README.md", "exec"), {})  # noqa: S102


def test_with_the_real_agent(updates: Updates) -> None:
    defined: dict[str, Any] = {}
    exec(compile(blocks("python")[1], "README.md", "exec"), defined)  # noqa: S102
    [test] = [value for name, value in defined.items() if name.startswith("test_")]
    updates.start(service={"poll_interval": 1})
    test(updates)


def test_every_action_is_on_the_page() -> None:
    actions = {
        name
        for name, value in vars(faults).items()
        if getattr(value, "__annotations__", {}).get("return") == "Action"
    }
    assert set(re.findall(r"^\| `(\w+)\(", PAGE, re.MULTILINE)) == actions


def test_every_module_is_on_the_page() -> None:
    modules = {path.name for path in (ROOT / "tests/simulator").glob("[!_]*.py")}
    assert set(re.findall(r"^\| `(\w+\.py)`", PAGE, re.MULTILINE)) == modules


def test_every_switch_is_on_the_page() -> None:
    """All that can be called, but for what only looks at what has happened."""
    named = set(re.findall(r"`(?:Cloud\.)?([a-z_]+)(?:\([^`]*\)| = True)?`", PAGE))
    looks = {"execution", "updates", "history", "asked"}
    public = {name for name in vars(Cloud) if not name.startswith("_")} - looks
    assert public <= named
