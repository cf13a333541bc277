"""HookSettings as real child processes."""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

import pytest
import pytest_twisted
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.support.agent import MARK, marked
from tests.support.ports import execution
from tests.support.processes import FakeAttempts, Listener
from tests.support.reactor import reactor
from tests.support.waiting import PATIENCE, runs, wait_until
from upparat.config.settings import HookSettings
from upparat.hooks import child as process
from upparat.hooks.output import HALF
from upparat.hooks.runner import HookRunner
from upparat.job import Hook, Job

JOB = Job(execution("job"), version="2.0", file="https://s3/f?secret", meta='a "b" $c\nd é')


async def until(condition: Callable[[], Any]) -> Any:
    """Wait for a condition; its value when it is true at last."""
    deadline = reactor.seconds() + PATIENCE
    while not (value := condition()):
        assert reactor.seconds() < deadline, "waited in vain"
        await deferLater(reactor, 0.01)
    return value


def children() -> set[int]:
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


class MakeBench(Protocol):
    def __call__(self, script: str, **settings: Any) -> Bench: ...


class Bench(Listener):
    """One script as every hook; ``told`` is what came out of it."""

    def __init__(self, directory: Path, script: str | bytes, settings: dict[str, Any]) -> None:
        super().__init__()
        self.directory = directory
        self.script = directory / "hook"
        self.script.write_bytes(script if isinstance(script, bytes) else script.encode())
        self.script.chmod(0o755)
        defaults: dict[str, Any] = {
            "commands": dict.fromkeys(Hook, (str(self.script), "a b")),
            "timeouts": dict.fromkeys(Hook, PATIENCE),
            "retry_interval": 0.01,
        }
        self.runner = HookRunner(
            reactor,
            HookSettings(**{**defaults, **settings}),
            agent=str(directory / "state"),
            attempts=FakeAttempts(),
        )
        self.runner.events = self

    async def run(self, hook: Hook = Hook.DOWNLOAD, job: Job = JOB, file: str = "") -> Any:
        """Run a hook to its end; the last event."""
        self.runner.run(hook, job, file)
        return await self.end()

    async def end(self) -> Any:
        return (
            await until(lambda: self.told and self.told[-1][0] != "install_output")
            and (self.told[-1])
        )

    async def number(self, name: str) -> int:
        """A number that the script writes into a file."""
        path = self.directory / name
        await until(lambda: path.exists() and path.read_text().endswith("\n"))
        return int(path.read_text())


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeBench]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(process, "GRACE", 0.5)
    before = children()

    def make(script: str, **settings: Any) -> Bench:
        return Bench(tmp_path, script, settings)

    yield make
    # The reactor may not have reaped the last child yet.
    pytest_twisted.blockon(Deferred.fromCoroutine(until(lambda: children() <= before)))


def python(code: str) -> str:
    return f"#!{sys.executable}\n{code}"


REPORT = python("""
import json, os, signal, sys
with open("facts", "w") as file:
    json.dump({
        "argv": sys.argv,
        "env": {name: value for name, value in os.environ.items()},
        "stdin": sys.stdin.read(),
        "group": os.getpgid(0),
        "session": os.getsid(0) == os.getpid() == os.getpgid(0),
        "files": sorted(int(fd) for fd in os.listdir("/proc/self/fd")),
        "directory": os.getcwd(),
    }, file)
""")


@pytest_twisted.ensureDeferred
async def test_what_a_hook_sees(bench: MakeBench, tmp_path: Path) -> None:
    job = replace(JOB, force=True)
    own = {
        Hook.INSTALL: ["/tmp/f"],
        Hook.RESTART: ["True"],
        Hook.ROLLBACK: [""],
        Hook.CLEANUP: [""],
    }
    ends = {
        Hook.ROLLBACK: {"UPPARAT_FAILED_STATE": "", "UPPARAT_REASON": ""},
        Hook.CLEANUP: {"UPPARAT_STATE": "", "UPPARAT_REASON": ""},
    }
    for hook in Hook:
        one = bench(REPORT)
        file = "/tmp/f" if hook is Hook.INSTALL else ""
        assert (await one.run(hook, job, file))[0] != "hook_failed"
        facts = json.loads((tmp_path / "facts").read_text())
        arguments = [str(one.script), "a b", "0", "0", JOB.meta, *own.get(hook, [])]
        assert facts["argv"] == arguments
        added = {
            "UPPARAT_JOB_ID": "job",
            "UPPARAT_VERSION": "2.0",
            "UPPARAT_FILE": file,
            "UPPARAT_META": JOB.meta,
            "UPPARAT_FORCE": "True",
            "UPPARAT_RETRY": "0",
            "UPPARAT_ELAPSED": "0",
            "UPPARAT_HOOK": hook.value,
            "UPPARAT_AGENT": str(one.directory / "state"),
            "UPPARAT_GROUP": str(facts["group"]),
            **ends.get(hook, {}),
        }
        assert {**facts["env"], "LC_CTYPE": ""} == {**os.environ, **added, "LC_CTYPE": ""}
        assert facts["session"] is True
        assert facts["stdin"] == ""
        assert set(facts["files"]) <= {0, 1, 2, 3, 4}  # those above 2 are Python's own
        assert facts["directory"] == str(tmp_path)


@pytest_twisted.ensureDeferred
async def test_shell_script_gets_empty_arguments(bench: MakeBench, tmp_path: Path) -> None:
    one = bench('#!/bin/sh\nshift; printf "%s|" "$#" "$@" >args\n')
    await one.run(Hook.RESTART, replace(JOB, meta=""))
    assert (tmp_path / "args").read_text() == "4|0|0|||"


def _bit(number: int) -> int:
    return 1 << (number - 1)


PYTHON_IGNORES = _bit(signal.SIGPIPE) | _bit(signal.SIGXFSZ)


@pytest_twisted.ensureDeferred
async def test_no_file_is_handed_on_and_signals_are_as_usual(
    bench: MakeBench, tmp_path: Path
) -> None:
    script = "#!/bin/sh\nls /proc/self/fd >files; grep SigIgn /proc/self/status >ignored\n"
    with open("/dev/null") as stream:
        os.set_inheritable(stream.fileno(), True)
        for hook in (Hook.READY, Hook.RESTART):
            await bench(script).run(hook)
            files = (tmp_path / "files").read_text().split()
            assert files == ["0", "1", "2", "3"]  # the last one is the directory itself
            found = int((tmp_path / "ignored").read_text().split()[1], 16)
            assert found & PYTHON_IGNORES == 0


@pytest_twisted.ensureDeferred
async def test_retries(bench: MakeBench, tmp_path: Path) -> None:
    one = bench('#!/bin/sh\necho "$3" >>retries; [ "$3" = 3 ] || exit 3\n')
    assert await one.run(Hook.READY) == ("ready",)
    assert (tmp_path / "retries").read_text().split() == ["0", "1", "2", "3"]


@pytest_twisted.ensureDeferred
async def test_retries_used_up(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\nexit 3\n", max_retries=4)
    assert await one.run(Hook.READY) == ("hook_failed", "ready", "Timeout after 0.04s")


@pytest_twisted.ensureDeferred
async def test_exit_code_and_signal(bench: MakeBench) -> None:
    assert (await bench("#!/bin/sh\nexit 41\n").run())[2] == "Exit code: 41"
    one = bench("#!/bin/sh\nkill -SEGV $$\n")
    assert (await one.run())[2] == "Killed by signal 11 (SIGSEGV)"


# --- output ---


@pytest_twisted.ensureDeferred
async def test_version(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\necho starting; echo; echo ' 1.2.3 '; echo; printf '  '\n")
    assert await one.run(Hook.VERSION) == ("version_known", "1.2.3")


@pytest_twisted.ensureDeferred
async def test_odd_output(bench: MakeBench) -> None:
    one = bench(r"""#!/bin/sh
printf '\033[1mbold\033[0m\n\377\376\000binary\n10%%\r20%%\rno newline'
""")
    assert await one.run(Hook.INSTALL) == ("installed",)
    lines = ["bold", "\ufffd\ufffd binary", "10%", "20%", "no newline"]
    assert one.told[:-1] == [("install_output", line) for line in lines]


@pytest_twisted.ensureDeferred
async def test_line_of_10_mb(bench: MakeBench) -> None:
    one = bench(python('import sys; sys.stdout.write("x" * 10_000_000 + "end")'))
    assert await one.run(Hook.INSTALL) == ("installed",)
    ((_, line), _) = one.told
    assert line.startswith("x" * HALF + " … x")
    assert line.endswith("xend")
    assert len(line) == 2 * HALF + 3


@pytest_twisted.ensureDeferred
async def test_flood_neither_fills_the_memory_nor_starves_the_reactor(bench: MakeBench) -> None:
    one = bench(f"#!/bin/sh\nyes '{'x' * 299}' | head -n 20000; yes '' | head -c 200000\n")
    one.install_output = lambda line: None  # type: ignore[method-assign]
    ticks = []
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    one.runner.run(Hook.INSTALL, JOB)
    await until(lambda: ticks.append(1) or one.told)  # type: ignore[func-returns-value]
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert one.told == [("installed",)]
    assert grown < 4_000  # KiB; the output is 6 MB
    assert len(ticks) > 10


@pytest_twisted.ensureDeferred
async def test_output_that_waits_when_the_time_for_it_is_up(
    bench: MakeBench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """We stand still until the hook is gone, and have the turns of the reactor to read it out."""
    monkeypatch.setattr(process, "DRAIN", 0.0)
    one = bench(f"""#!{sys.executable}
import os, time
with open("hook_pid", "w") as file:
    print(os.getpid(), file=file)
while not os.path.exists("go"):
    time.sleep(0.01)
os.write(1, b"x\\n" * 30_000 + b"2.0\\n")  # less than a pipe holds
""")
    one.runner.run(Hook.VERSION, JOB)
    pid = await one.number("hook_pid")
    (tmp_path / "go").touch()
    wait_until(lambda: not runs(pid))
    assert await one.end() == ("version_known", "2.0")


@pytest_twisted.ensureDeferred
async def test_background_child_that_prints_for_ever(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\nyes 1.0 & echo $! >daemon\n")
    assert await one.run(Hook.VERSION) == ("version_known", "1.0")
    daemon = await one.number("daemon")
    await until(lambda: not runs(daemon))  # its pipe is closed


@pytest_twisted.ensureDeferred
async def test_background_child_that_holds_stdout(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\nsleep 1000 & echo $! >daemon; echo 1.0\n")
    assert await one.run(Hook.VERSION) == ("version_known", "1.0")
    daemon = await one.number("daemon")
    assert runs(daemon)  # a hook may start one
    os.kill(daemon, signal.SIGKILL)
    await until(lambda: not runs(daemon))


# --- time-outs ---


@pytest_twisted.ensureDeferred
async def test_time_out_ends_the_whole_group(bench: MakeBench) -> None:
    timeouts = dict.fromkeys(Hook, 1.0)
    one = bench("#!/bin/sh\nsleep 1000 & echo $! >child\nsleep 1000\n", timeouts=timeouts)
    message = "Timed out after 1s and was ended"
    assert await one.run() == ("hook_failed", "download", message)
    child = await one.number("child")
    await until(lambda: not runs(child))


@pytest_twisted.ensureDeferred
async def test_time_out_kills_what_ignores_sigterm(bench: MakeBench) -> None:
    timeouts = dict.fromkeys(Hook, 1.0)
    script = "#!/bin/sh\ntrap '' TERM\necho $$ >hook_pid\nwhile :; do sleep 0.1; done\n"
    one = bench(script, timeouts=timeouts)
    assert (await one.run())[2] == "Timed out after 1s and was ended"
    assert not runs(await one.number("hook_pid"))


@pytest_twisted.ensureDeferred
async def test_time_out_kills_grandchildren_that_ignore_sigterm(bench: MakeBench) -> None:
    timeouts = dict.fromkeys(Hook, 1.0)
    script = """#!/bin/sh
(trap '' TERM; exec sleep 1000) >/dev/null 2>&1 & echo $! >child
wait
"""
    one = bench(script, timeouts=timeouts)
    assert (await one.run())[2] == "Timed out after 1s and was ended"
    child = await one.number("child")
    await until(lambda: not runs(child))


# --- what cannot be executed ---


@pytest_twisted.ensureDeferred
async def test_not_executable(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\n")
    one.script.chmod(0o644)
    assert (await one.run())[2] == "cannot be executed: Permission denied"


@pytest_twisted.ensureDeferred
async def test_missing(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\n")
    one.script.unlink()
    assert (await one.run())[2] == "cannot be executed: No such file or directory"


@pytest_twisted.ensureDeferred
async def test_interpreter_missing(bench: MakeBench) -> None:
    one = bench("#!/no/such/interpreter\n")
    reason = f"the interpreter that {one.script} names was not found"
    assert (await one.run())[2] == f"cannot be executed: {reason}"


@pytest.mark.parametrize("content", ["\x01\x02\x03random", "echo no shebang\n", ""])
@pytest_twisted.ensureDeferred
async def test_format_error(bench: MakeBench, content: str) -> None:
    one = bench(content)
    assert (await one.run())[2] == "cannot be executed: Exec format error"


@pytest_twisted.ensureDeferred
async def test_too_long(bench: MakeBench) -> None:
    one = bench("#!/bin/sh\n")
    await one.run(job=replace(JOB, meta="x" * 1_000_000))
    assert one.told[-1][2] == "cannot be executed: Argument list too long"


@pytest.mark.parametrize("python", ["/no/such/python", "/bin/false"])
@pytest_twisted.ensureDeferred
async def test_our_python_is_gone(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch, python: str
) -> None:
    monkeypatch.setattr(sys, "executable", python)
    one = bench("#!/bin/sh\necho 1.0\n")
    assert await one.run(Hook.VERSION) == ("version_known", "1.0")
    one.told.clear()
    one.script.unlink()
    reason = "cannot be executed: No such file or directory"
    assert (await one.run())[2] == reason


@pytest_twisted.ensureDeferred
async def test_our_python_is_gone_and_a_hook_hangs(
    bench: MakeBench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    one = bench("#!/bin/sh\nexec sleep 1000\n", timeouts=dict.fromkeys(Hook, 0.2))
    assert (await one.run())[2] == "Timed out after 0.2s and was ended"


# --- release and stop ---

WAITS = """#!/bin/sh
echo $$ >hook_pid
while [ ! -e go ]; do sleep 0.02; done
echo finished; touch finished
"""


@pytest.mark.parametrize("hook", [Hook.VERSION, Hook.DOWNLOAD, Hook.READY])
@pytest_twisted.ensureDeferred
async def test_release_ends(bench: MakeBench, hook: Hook) -> None:
    one = bench(WAITS)
    one.runner.run(hook, JOB)
    pid = await one.number("hook_pid")
    one.runner.release()
    await until(lambda: one.told)
    assert one.told == [("released",)]
    assert not runs(pid)


@pytest.mark.parametrize("hook", [Hook.INSTALL, Hook.RESTART])
@pytest_twisted.ensureDeferred
async def test_release_leaves_to_finish(bench: MakeBench, tmp_path: Path, hook: Hook) -> None:
    one = bench(WAITS)
    one.runner.run(hook, JOB)
    pid = await one.number("hook_pid")
    one.runner.release()
    assert runs(pid)
    (tmp_path / "go").touch()
    await until(lambda: one.told)
    assert one.told == [("released",)]
    assert (tmp_path / "finished").exists()


@pytest_twisted.ensureDeferred
async def test_release_before_the_command_runs(bench: MakeBench) -> None:
    one = bench(WAITS)
    one.runner.run(Hook.DOWNLOAD, JOB)
    one.runner.release()
    await until(lambda: one.told)
    assert one.told == [("released",)]


@pytest.mark.parametrize("hook", [Hook.VERSION, Hook.DOWNLOAD, Hook.INSTALL, Hook.READY])
@pytest_twisted.ensureDeferred
async def test_shut_down_ends(bench: MakeBench, hook: Hook) -> None:
    one = bench(WAITS)
    one.runner.run(hook, JOB)
    pid = await one.number("hook_pid")
    await one.runner.shut_down()
    assert not runs(pid)
    assert one.told == []


@pytest_twisted.ensureDeferred
async def test_shut_down_leaves_a_restart_alone(bench: MakeBench, tmp_path: Path) -> None:
    one = bench(WAITS)
    one.runner.run(Hook.RESTART, JOB)
    pid = await one.number("hook_pid")
    ended: Deferred[None] = one.runner.shut_down()
    assert ended.called
    assert runs(pid)
    (tmp_path / "go").touch()
    await until(lambda: not runs(pid))
    assert (tmp_path / "finished").exists()
    assert one.told == []


AGENT = """
import sys
from twisted.internet import reactor
from tests.integration.test_hooks import JOB
from tests.support.processes import FakeAttempts
from upparat.hooks.runner import HookRunner
from upparat.config.settings import HookSettings
from upparat.job import Hook
hooks = HookSettings(commands={Hook.RESTART: (sys.argv[1],)})
runner = HookRunner(reactor, hooks, agent=sys.argv[2], attempts=FakeAttempts())
reactor.callWhenRunning(runner.run, Hook.RESTART, JOB)
reactor.run()
"""


TALKS = """#!/bin/sh
echo $$ >hook_pid
while [ ! -e go ]; do sleep 0.02; done
while :; do echo endless; done | head -n 50000
echo bye; echo bye >&2
touch finished
"""


@pytest_twisted.ensureDeferred
async def test_restart_goes_on_when_the_agent_is_killed(bench: MakeBench, tmp_path: Path) -> None:
    """What a restart hook prints afterwards is read, and its pipelines end as ever."""
    one = bench(TALKS)
    agent = tmp_path / "agent"
    agent.write_text(python(AGENT))
    root = Path(__file__).parents[2]
    argv = [sys.executable, str(agent), str(one.script), str(tmp_path / "state")]
    environment = {**os.environ, "PYTHONPATH": str(root), MARK: str(tmp_path)}
    pid = os.posix_spawn(sys.executable, argv, environment)
    hook = await one.number("hook_pid")
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert runs(hook)
    (tmp_path / "go").touch()
    await until(lambda: (tmp_path / "finished").exists())
    await until(lambda: not marked(tmp_path))
