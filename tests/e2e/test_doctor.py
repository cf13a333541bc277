"""``upparat doctor`` on a device that is well, and beside an agent that is at work."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from tests.e2e.updates import SUCCEEDED, Updates
from tests.simulator.cloud import Cloud
from tests.support.agent import Agent
from tests.support.certs import LOCAL, Authority
from tests.support.mosquitto import Mosquitto, requires_mosquitto
from tests.support.tcpports import free_port
from tests.support.waiting import PATIENCE
from tests.support.world import CLIENT_ID, THING
from upparat.doctor.mounts import mount_of

LONG = (timedelta(days=-1), timedelta(days=400))


def examined(config: Path, *words: str) -> tuple[int, list[str]]:
    """The exit status of the command, and its lines."""
    command = [str(Path(sys.executable).parent / "upparat"), "doctor", "-c", str(config), *words]
    ran = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert not ran.stderr, ran.stderr
    return ran.returncode, ran.stdout.splitlines()


def levels(lines: list[str]) -> dict[str, str]:
    """The level of each finding by its name."""
    split = [line.partition(": ")[0].split(maxsplit=1) for line in lines[:-1]]
    return {name: level for level, name in split}


def best(directory: Path) -> int:
    """The exit status without a fault; a scratch directory on a tmpfs is a warning."""
    mount = mount_of(directory)
    return int(mount is not None and mount.volatile)


def accept_breach(cloud: Cloud) -> None:
    """The update that AWS refuses, of a job that does not exist, is on purpose."""
    [breach] = cloud.breaches
    assert "/upparat-doctor-" in breach
    assert "status" in breach
    cloud.breaches.clear()


def test_beside_an_agent_at_work(updates: Updates, broker: Mosquitto, tmp_path: Path) -> None:
    device = updates.stand_still()
    record = device.record()
    accepted = f" as {CLIENT_ID} "
    connections = broker.log.count(accepted)
    status, lines = examined(device.config_file, "--url", updates.file.signed_url)
    assert status == best(tmp_path), lines
    found = levels(lines)
    assert {found[name] for name in ("mqtt", "policy", "jobs")} == {"ok"}, lines
    assert found["client id"] == "skipped"
    assert f"process {device.pid}" in "".join(lines)
    assert "X-Amz" not in "".join(lines)
    assert device.record() == record
    assert list(device.directory.rglob("*doctor*")) == []
    updates.file.release()
    assert updates.end() == SUCCEEDED
    assert broker.log.count(accepted) == connections == 1
    accept_breach(updates.cloud)


@requires_mosquitto
def test_a_device_that_is_well(tmp_path: Path) -> None:
    authority = Authority()
    cert, key = authority.issue(tmp_path, "server", LOCAL, valid=LONG)
    own, own_key = authority.issue(tmp_path, "device", valid=LONG)
    trusted, port = authority.write(tmp_path / "ca.pem"), free_port()
    lines = [f"listener {port} 127.0.0.1", f"cafile {trusted}", f"certfile {cert}"]
    options = [*lines, f"keyfile {key}", "require_certificate true"]
    sections: dict[str, dict[str, object]] = {
        "service": {"state_dir": tmp_path / "state", "download_location": tmp_path},
        "broker": {
            "host": "localhost",
            "port": port,
            "thing_name": THING,
            "cafile": trusted,
            "certfile": own,
            "keyfile": own_key,
        },
        "hooks": {"version": "/bin/echo 1.0"},
    }
    config = Agent(tmp_path / "agent", sections).config_file
    with Mosquitto(tmp_path, options=options) as broker, Cloud(broker.port, THING) as cloud:
        cloud.create_job("job-1", {"action": "upparat-update"})
        status, said = examined(config)
        assert status == best(tmp_path), said
        found = levels(said)
        del found["state_dir"]
        assert set(found.values()) == {"ok", "skipped"}
        assert any("1 pending job" in line for line in said)
        assert cloud.execution("job-1").status == "QUEUED"
        accept_breach(cloud)
