"""The real agent as a process, started and ended as an init system and a power cut would."""

from __future__ import annotations

import configparser
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from .forkserver import ForkedProcess, fork_server
from .sweep import SWEEP
from .waiting import PATIENCE, runs, wait_until

MARK = "UPPARAT_TEST_SCRATCH"
"""The environment variable that the agent and all that it starts can be found by."""

SERVICES = 20
"""An agent that dies so often in one test dies for ever."""

Process = subprocess.Popen[bytes] | ForkedProcess

Sections = Mapping[str, Mapping[str, object]]


class Agent:
    """The agent with a configuration and a log of its own.

    :param directory: its scratch directory, made if needed; it is also where it runs.
    :param sections: the configuration.
    :param supervised: start it again whenever it ends by itself, as systemd would.
    :param reboots: with ``supervised``, each new start comes with a new boot id; after a kill only
        while ``reboots_when_killed``.
    :param console: run the command ``upparat`` and not ``twistd --nodaemon upparat``.
    """

    def __init__(
        self,
        directory: Path,
        sections: Sections,
        *,
        supervised: bool = False,
        reboots: bool = False,
        console: bool = False,
    ) -> None:
        self.directory = directory
        self.supervised = supervised
        self.reboots = reboots
        self.console = console
        self.reboots_when_killed = True
        self.tolerates_tracebacks = False
        self.clock = ""  # the time of day of each start, if it is not the real one
        self.forked = True  # shares its imports with other agents: see forkserver
        self.exits: list[int] = []
        self._lock = threading.RLock()
        self._wanted = False
        self._process: Process | None = None
        self._watch: threading.Thread | None = None
        directory.mkdir(parents=True, exist_ok=True)
        self.configure(sections)

    # --- files ---

    @property
    def config_file(self) -> Path:
        return self.directory / "upparat.conf"

    @property
    def log_file(self) -> Path:
        return self.directory / "agent.log"

    @property
    def output_file(self) -> Path:
        """What it prints before it logs, and what the interpreter prints."""
        return self.directory / "agent.out"

    @property
    def pidfile(self) -> Path:
        return self.directory / "agent.pid"

    def configure(self, sections: Sections) -> None:
        """Write the configuration for the next start."""
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_dict(
            {
                section: {name: str(value).replace("%", "%%") for name, value in options.items()}
                for section, options in sections.items()
            }
        )
        self.sections = sections
        with self.config_file.open("w", encoding="utf-8") as stream:
            parser.write(stream)

    @property
    def log(self) -> str:
        """What it has logged and printed so far, over all starts."""
        texts = (file.read_text(errors="replace") for file in self._texts() if file.exists())
        return "".join(texts)

    def _texts(self) -> tuple[Path, ...]:
        return self.log_file, self.output_file

    # --- life ---

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    @property
    def living(self) -> int | None:
        """Its process id, if it runs."""
        process = self._process  # a supervisor may take it away meanwhile
        return process.pid if process is not None and process.poll() is None else None

    @property
    def alive(self) -> bool:
        return self.living is not None

    def leftovers(self) -> list[str]:
        """What an update has left behind: processes but for the agent itself, and files."""
        found, agent = marked(self.directory), self.living
        rest = [f"process {pid}" for pid in found if pid != agent]
        files = [*self.directory.rglob("*.part"), *self.directory.rglob("record.*")]
        return rest + [str(path) for path in files if not _outlives_its_job(path)]

    @property
    def starts(self) -> int:
        """How often it was started."""
        return len(self.exits) + self.alive

    def start(self) -> Self:
        """Start the process; it needs a moment until it is connected."""
        with self._lock:
            self._wanted = True
            self._spawn()
        if self.supervised and self._watch is None:
            self._watch = threading.Thread(target=self._supervise, daemon=True)
            self._watch.start()
        return self

    def stop(self) -> int:
        """SIGTERM; returns the exit status (0 if it does not run). It is not started again."""
        return self._end(signal.SIGTERM)

    def kill(self) -> int:
        """SIGKILL. It is not started again."""
        return self._end(signal.SIGKILL)

    def power_cut(self) -> None:
        """Kill it with everything that it has started, and let the next start be another boot."""
        with self._lock:
            self.kill()
            kill_marked(self.directory)
            self.change_boot()

    def wait_exit(self, timeout: float = PATIENCE) -> int:
        """Wait until it has ended by itself, and return its exit status."""
        assert self._process is not None
        status = self._process.wait(timeout)
        self._note_exit()
        return status

    def wait_for_log(self, text: str, *, after: str | None = None) -> None:
        """Block until the log has a text, behind the first place of another one if it is given."""
        wait_until(lambda: text in (self.log if after is None else self.log.partition(after)[2]))

    def wait_until_it_owes(self) -> None:
        """Block until the record has a report that AWS has not accepted."""
        wait_until(lambda: (self.record() or {}).get("owed"))

    def change_boot(self) -> None:
        """Make the device's record one of another boot; the real boot id cannot be changed."""
        for record in self.directory.rglob("record.json"):
            content = json.loads(record.read_text())
            record.write_text(json.dumps({**content, "boot_id": "another-boot"}))

    def record(self) -> Any:
        """The device's record as it is on the disk, or ``None``."""
        for found in self.directory.rglob("record.json"):
            with suppress(FileNotFoundError):  # it may go between the two looks
                return json.loads(found.read_text())
        return None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # --- the process ---

    def command(self) -> list[str]:
        scripts = Path(sys.executable).parent
        if self.console:
            return [str(scripts / "upparat"), "--verbose", "--config", str(self.config_file)]
        return [
            str(scripts / "twistd"),
            "--nodaemon",
            f"--pidfile={self.pidfile}",
            f"--logfile={self.log_file}",
            "upparat",
            f"--config={self.config_file}",
        ]

    def _spawn(self) -> None:
        assert not self.alive, "it runs already"
        # The file of an agent that was killed could name a process that lives.
        self.pidfile.unlink(missing_ok=True)
        environment = {**_environment(), MARK: str(self.directory), "PYTHONFAULTHANDLER": "1"}
        if self.clock:
            environment |= shown_by_clock(self.clock)
        self._process = self._fork(environment) if self._forks else self._execute(environment)
        if self.console:  # it has no option for this
            self.pidfile.write_text(str(self._process.pid))

    @property
    def _forks(self) -> bool:
        return self.forked and not (self.console or self.clock or SWEEP)

    def _fork(self, environment: Mapping[str, str]) -> ForkedProcess:
        return fork_server().start(self.command(), self.directory, self.output_file, environment)

    def _execute(self, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with self.output_file.open("ab") as output:
            return subprocess.Popen(
                self.command(),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env=environment,
                start_new_session=True,
            )

    def _end(self, number: signal.Signals) -> int:
        with self._lock:
            self._wanted = False
            process = self._process
            if process is None:
                return 0
            if process.poll() is None:
                process.send_signal(number)
            try:
                status = process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                self._abort(process)
                raise AssertionError(f"it does not end:\n{self.log}") from None
            self._note_exit()
            return status

    def _abort(self, process: Process) -> None:
        """End it so that it prints where each of its threads is."""
        process.send_signal(signal.SIGABRT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(PATIENCE)
        process.kill()

    def _note_exit(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            if process is not None:
                self.exits.append(process.wait())

    def _supervise(self) -> None:
        while True:
            process = self._process
            if process is not None:
                process.wait()
            with self._lock:
                if not self._wanted or len(self.exits) >= SERVICES:
                    self._watch = None
                    return
                if process is self._process:
                    self._note_exit()
                    self._revive()

    def _revive(self) -> None:
        if self.reboots and (self.reboots_when_killed or self.exits[-1] == 0):
            self.change_boot()
        self._spawn()


def _environment() -> dict[str, str]:
    """Ours without what is for the tests alone: hooks are to see nothing but the agent's facts.

    Nor with proxies, which know no test server, nor with coverage, which doubles the time of each
    start: what agents run is covered by the other tests.
    """
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("COVERAGE_", "UPPARAT_")) and not name.lower().endswith("_proxy")
    }


FAKETIME = next(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"), None)


def shown_by_clock(time: str) -> dict[str, str]:
    """The environment of a process whose clock begins at this time; waits take as long as ever."""
    assert FAKETIME is not None, "apt-get install faketime"
    return {
        "LD_PRELOAD": str(FAKETIME),
        "FAKETIME": f"@{time}",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }


# --- what an agent has started ---


def marked(directory: Path) -> list[int]:
    """The processes that run and were started by the agent of a directory, or are it."""
    mark = f"{MARK}={directory}".encode()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            environment = (process / "environ").read_bytes().split(b"\0")
        except OSError:
            continue  # it has ended, or is not ours
        if mark in environment and runs(int(process.name)):
            found.append(int(process.name))
    return found


def kill_marked(directory: Path) -> None:
    for pid in marked(directory):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
    wait_until(lambda: not marked(directory))


def _outlives_its_job(record: Path) -> bool:
    """Whether this is a record of nothing but an installation that is not confirmed."""
    try:
        content = json.loads(record.read_text())
    except (OSError, ValueError):
        return False
    noted = content.get("installation") or content.get("doubted")
    return bool(noted) and not content["update"] and not content["owed"]
