"""An update by an agent on a root that is read-only."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent, Sections
from tests.support.files import File
from tests.support.mosquitto import Mosquitto
from tests.support.scripts import Hooks
from tests.support.world import device_config

READ_ONLY = """
for directory in $1; do mount --bind "$directory" "$directory"; done
for place in $(awk '{ print $5 }' /proc/self/mountinfo | sort --unique); do
    case " $1 " in *" $place "*) continue ;; esac
    case $place in /proc* | /sys* | /dev*) continue ;; esac
    mount -o remount,bind,ro "$place" || ! mountpoint -q "$place"  # other tests unmount theirs
done
if touch "$2/closed"; then exit 99; fi
shift 2
exec "$@"
"""
"""Leaves some directories to write to, tries that another is closed, and runs a command."""


class ReadOnlyAgent(Agent):
    """The agent of another environment, on a root that is read-only.

    :param program: its command, without arguments.
    :param writable: the directories that it can write to.
    """

    def __init__(
        self, directory: Path, sections: Sections, program: Sequence[str], writable: Sequence[Path]
    ) -> None:
        super().__init__(directory, sections, console=True)
        self._program = program
        self._writable = writable

    def command(self) -> list[str]:
        writable = " ".join(map(str, self._writable))
        shell = ["sh", "-euc", READ_ONLY, "sh", writable, str(self.directory)]
        agent = [*self._program, "-v", "-c", str(self.config_file)]
        return ["unshare", "--mount", "--propagation=private", *shell, *agent]


requires_mounts = pytest.mark.skipif(
    subprocess.run(["unshare", "--mount", "true"], check=False, stderr=-3).returncode != 0,
    reason="this user may mount nothing: run the tests as root",
)


def update(
    program: Sequence[str],
    directory: Path,
    broker: Mosquitto,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
) -> None:
    """Let this program do one whole update. It can write to its state, its downloads and its hooks.

    :param directory: for the files of the agent.
    """
    writable = [directory / "state", directory / "downloads", hooks.directory]
    for each in writable:
        each.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = device_config(directory, broker, hooks, {"control": {"socket": "off"}})
    with ReadOnlyAgent(directory, config, program, writable) as agent:
        updates = Updates(lambda **_: agent, cloud, hooks, firmware)
        updates.agent = agent
        assert updates.run() == SUCCEEDED, agent.log
        assert updates.installed == firmware.content
    assert "Read-only" not in agent.log.replace("closed': Read-only", "")
