"""Hooks that do as a test says and keep a journal of their calls.

    hooks = Hooks(tmp_path / "hooks", agent.pidfile)
    hooks.install([say("erasing"), leave(3)], [say("done")])
    ...
    assert [call.retry for call in hooks.calls("install")] == ["0", "1"]

Every hook is a real executable. Each of its runs does the next list of steps; the last list is for
all runs that follow. A run that is told nothing else exits with 0.

The tests run thousands of hooks. Therefore a hook imports only what starts with Python, and its
files are Python's literals: ``json`` would double its time.
"""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upparat.job import Hook

from .waiting import wait_until

Step = list[Any]

_ENGINE = """#!{python} -IS
import os, sys, time
NAME, DIRECTORY, FILE = {name!r}, {directory!r}, sys.argv[4:5]
journal = os.path.join(DIRECTORY, "calls")

def note(**entry):
    line = ascii({{"hook": NAME, "pid": os.getpid(), **entry}}) + "\\n"
    descriptor = os.open(journal, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(descriptor, line.encode())
    os.close(descriptor)

def run(kind, *values):
    if kind == "say":
        os.write(values[0], values[1].encode("utf-8", "surrogateescape"))
    elif kind == "leave":
        note(event="leave", code=values[0])
        os._exit(values[0])
    elif kind == "wait":
        while not os.path.exists(values[0]):
            time.sleep(0.01)
    elif kind == "write":
        with open(values[0] + ".new", "w") as stream:
            stream.write(values[1])
        os.replace(values[0] + ".new", values[0])
    elif kind == "show":
        with open(values[0]) as stream:
            print(stream.read(), flush=True)
    elif kind == "copy":
        with open(FILE[0], "rb") as source, open(values[0], "wb") as target:
            target.write(source.read())
    elif kind == "adopt":
        with open(values[0]) as source:
            run("write", values[1], source.read())
    elif kind == "digest":
        import hashlib
        with open(FILE[0], "rb") as source:
            seen = hashlib.sha256(source.read()).hexdigest()
        note(event="digest", job=os.environ["UPPARAT_JOB_ID"], digest=seen)
    elif kind == "swallow":
        left, FILE[0] = values[1], values[0]
        mode = "r+b" if len(values) > 2 and os.path.exists(values[0]) else "wb"
        with open(values[0], mode) as target:
            while left and (piece := os.read(0, min(left, 65536))):
                target.write(piece)
                target.flush()
                left -= len(piece)
        if left:
            note(event="eof", job=os.environ["UPPARAT_JOB_ID"])
    elif kind == "deafen":
        os.close(0)
    elif kind == "kill":
        with open(values[0]) as stream:
            os.kill(int(stream.read()), values[1])
    elif kind == "ignore":
        import signal
        signal.signal(values[0], signal.SIG_IGN)
    elif kind == "pause":
        time.sleep(values[0])
    elif kind == "hang":
        time.sleep(3600)
    elif kind == "fork":
        if os.fork() == 0:
            if values[0]:
                os.setsid()
            for step in values[1]:
                run(*step)
            os._exit(0)

with open(os.path.join(DIRECTORY, NAME + ".steps")) as stream:
    runs = eval(stream.read())
count = 0
if os.path.exists(journal):
    with open(journal) as stream:
        calls = map(eval, stream)
        count = sum(c["event"] == "call" and c["hook"] == NAME for c in calls)
facts = {{k: v for k, v in os.environ.items() if k.startswith("UPPARAT_")}}
text = sys.stdin.read() if FILE != ["-"] else ""
note(event="call", argv=sys.argv[1:], env=facts, stdin=text)
for step in runs[min(count, len(runs) - 1)]:
    run(*step)
note(event="leave", code=0)
"""


# --- steps ---


def say(*lines: str) -> Step:
    """Print lines on stdout."""
    return ["say", 1, "".join(line + "\n" for line in lines)]


def say_raw(text: str) -> Step:
    """Print without a line end; bytes that are no UTF-8 as ``surrogateescape`` has them."""
    return ["say", 1, text]


def complain(*lines: str) -> Step:
    """Print lines on stderr."""
    return ["say", 2, "".join(line + "\n" for line in lines)]


def leave(code: int) -> Step:
    """Exit with this code."""
    return ["leave", code]


def wait_for_file(path: Path) -> Step:
    """Go on when the file exists."""
    return ["wait", str(path)]


def write(path: Path, text: str) -> Step:
    """Replace a file."""
    return ["write", str(path), text]


def show(path: Path) -> Step:
    """Print a file's content."""
    return ["show", str(path)]


def copy_file(path: Path) -> Step:
    """For the install hook: copy the file that it was given."""
    return ["copy", str(path)]


def adopt(source: Path, target: Path) -> Step:
    """Replace a file by the copy of another one."""
    return ["adopt", str(source), str(target)]


def digest() -> Step:
    """For the install hook: note the SHA-256 of the file that it was given."""
    return ["digest"]


def swallow(path: Path, size: int = 1 << 40) -> Step:
    """Read so many bytes from stdin into a file, which is then the one that the hook was given.

    The end of stdin is noted.
    """
    return ["swallow", str(path), size]


def overwrite(path: Path) -> Step:
    """Like :func:`swallow`, onto what is there already, as with a block device."""
    return ["swallow", str(path), 1 << 40, "keep"]


def deafen() -> Step:
    """Close stdin."""
    return ["deafen"]


def ignore(number: signal.Signals) -> Step:
    """Ignore a signal from now on."""
    return ["ignore", int(number)]


def pause(seconds: float) -> Step:
    """Take so long."""
    return ["pause", seconds]


def hang() -> Step:
    """Do nothing for longer than any test."""
    return ["hang"]


def fork(*steps: Step, session: bool = False) -> Step:
    """Let a child that keeps stdout open do these steps; in a session of its own if asked."""
    return ["fork", session, list(steps)]


# --- the hooks ---


@dataclass(frozen=True)
class Call:
    """One run of a hook; ``code`` is ``None`` while it runs, and where it was killed."""

    hook: str
    pid: int
    argv: list[str]
    env: dict[str, str]
    stdin: str
    code: int | None

    @property
    def elapsed(self) -> int:
        return int(self.argv[0])

    @property
    def retry(self) -> int:
        return int(self.argv[1])

    @property
    def meta(self) -> str:
        return self.argv[2]


class Hooks:
    """The hooks of one device, and the version that it runs.

    :param pidfile: where the agent's process id is, for hooks that take it down.
    """

    def __init__(self, directory: Path, pidfile: Path, version: str = "1.0") -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.version_file = directory / "running-version"
        self.installed_file = directory / "installed-file"
        self.options: dict[str, str] = {}
        self._pidfile = pidfile
        self.version_file.write_text(version)

    def standard(self, version: str = "2.0", *, restart: Step | None = None) -> Hooks:
        """All five hooks of a device on which the update to ``version`` works.

        :param restart: what the restart hook does after the version has changed; by default
            nothing, which is a soft restart.
        """
        self.version([show(self.version_file)])
        self.download([])
        self.install([copy_file(self.installed_file)])
        self.restart([self.become(version), *([restart] if restart else [])])
        self.ready([])
        return self

    def version(self, *runs: list[Step]) -> None:
        self.set(Hook.VERSION, *runs)

    def download(self, *runs: list[Step]) -> None:
        self.set(Hook.DOWNLOAD, *runs)

    def install(self, *runs: list[Step]) -> None:
        self.set(Hook.INSTALL, *runs)

    def restart(self, *runs: list[Step]) -> None:
        self.set(Hook.RESTART, *runs)

    def ready(self, *runs: list[Step]) -> None:
        self.set(Hook.READY, *runs)

    def set(self, hook: str, *runs: list[Step]) -> None:
        """Make a hook that does these steps, one list a run, from its next run on."""
        name = Hook(hook).value
        path = self.directory / name
        done = len(self.calls(name))
        plan: list[list[Step]] = [*([[]] * done), *runs]
        (self.directory / f"{name}.steps").write_text(ascii(plan))
        engine = _ENGINE.format(python=sys.executable, name=name, directory=str(self.directory))
        path.write_text(engine)
        path.chmod(0o700)
        self.options[name] = str(path)

    def without(self, *hooks: str) -> Hooks:
        """Do not configure these."""
        for hook in hooks:
            self.options.pop(hook)
        return self

    # --- steps that know the device ---

    def become(self, version: str) -> Step:
        """Let the device run another version from now on."""
        return write(self.version_file, version)

    def kill_agent(self, number: signal.Signals = signal.SIGTERM) -> Step:
        """What a reboot, or a restart of the service, does to the agent."""
        return ["kill", str(self._pidfile), int(number)]

    # --- the journal ---

    def calls(self, hook: str = "") -> list[Call]:
        """The runs so far, in order, of one hook or of all."""
        entries = self._journal()
        codes = {each["pid"]: each["code"] for each in entries if each["event"] == "leave"}
        return [
            Call(
                each["hook"],
                each["pid"],
                each["argv"],
                each["env"],
                each["stdin"],
                codes.get(each["pid"]),
            )
            for each in entries
            if each["event"] == "call" and hook in ("", each["hook"])
        ]

    def names(self) -> list[str]:
        """The hooks in the order of their runs."""
        return [call.hook for call in self.calls()]

    def digests(self) -> list[tuple[str, str]]:
        """Job id and SHA-256 of each file that was seen."""
        return [
            (each["job"], each["digest"]) for each in self._journal() if each["event"] == "digest"
        ]

    def ends(self) -> int:
        """How often a hook has seen the end of its stdin."""
        return sum(each["event"] == "eof" for each in self._journal())

    def wait_for_call(self, hook: str, count: int = 1) -> Call:
        """Block until a hook has begun its ``count``-th run, and return that."""
        wait_until(lambda: len(self.calls(hook)) >= count)
        return self.calls(hook)[count - 1]

    def _journal(self) -> list[dict[str, Any]]:
        path = self.directory / "calls"
        text = path.read_text() if path.exists() else ""
        lines = text.splitlines(keepends=True)
        # Not ast.literal_eval, which fails in Python 3.11 when several threads use ast.
        return [eval(line, {}) for line in lines if line.endswith("\n")]  # noqa: S307
