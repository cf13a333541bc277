"""Broken worlds for ``upparat doctor``: a device each, with one thing that is wrong.

A world is a context that yields the configuration of a device. Everything in it is real.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from shutil import which
from typing import Any

from paho.mqtt.client import Client
from paho.mqtt.enums import CallbackAPIVersion

from tests.simulator.cloud import Cloud
from upparat.local.watch import hang_up
from upparat.storage.lock import Claim

from .agent import Agent
from .certs import LOCAL, Authority
from .files import FileServer
from .mosquitto import Mosquitto
from .rawbroker import (
    CONNECT,
    PUBLISH,
    SUBSCRIBE,
    Peer,
    RawBroker,
    connack,
    filters,
    puback,
    suback,
)
from .tcpports import free_port
from .tinyproxy import Tinyproxy
from .waiting import PATIENCE, wait_until

FAKETIME = which("faketime")
"""Runs a command at another time, if it is installed."""

THING = "device-1"
CLIENT_ID = "agent-1"
DAY = timedelta(days=1)
LONG = (-DAY, 400 * DAY)


class CannotBeMade(Exception):
    """This machine lacks what the world needs: the message says what."""


@dataclass
class Scene:
    """A device without a fault, as far as it goes: nothing listens where its broker should be.

    :ivar sections: the configuration, which a world changes.
    :ivar before: words of the command line before ``upparat``.
    :ivar after: and those after it.
    """

    directory: Path
    sections: dict[str, dict[str, object]]
    stack: ExitStack
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)

    def enter(self, context: AbstractContextManager[Any]) -> Any:
        return self.stack.enter_context(context)

    def broker(self, **options: object) -> None:
        self.sections["broker"].update(options)

    def mosquitto(self, *options: str, listener: Sequence[str] = ()) -> Mosquitto:
        """A broker that asks for nothing; ``options`` and ``listener`` are lines of its config."""
        directory = self.directory / "mosquitto"
        directory.mkdir()
        made = Mosquitto(directory, options=options, listener=listener)
        self.enter(made)
        self.broker(host=made.host, port=made.port)
        return made

    def secure(
        self,
        server: tuple[Authority, Sequence[str]] | None = None,
        valid: tuple[timedelta, timedelta] = LONG,
    ) -> None:
        """A broker with TLS, and the files of the device for it.

        :param server: who signs the certificate of the server, and its names.
        """
        authority = Authority()
        signer, hosts = server or (authority, LOCAL)
        cert, key = signer.issue(self.directory, "server", hosts, valid=valid)
        trusted = authority.write(self.directory / "ca.pem")
        lines = [f"cafile {trusted}", f"certfile {cert}", f"keyfile {key}"]
        self.mosquitto(listener=[*lines, "require_certificate true"])
        own, own_key = authority.issue(self.directory, "device", valid=LONG)
        self.broker(host="localhost", cafile=trusted, certfile=own, keyfile=own_key)
        self.authority = authority

    def hook(self, content: bytes, directory: Path | None = None) -> None:
        path = (directory or self.directory) / "install"
        path.write_bytes(content)
        path.chmod(0o755)
        self.sections["hooks"] = {"install": path}

    def mount(self, name: str, *options: str) -> Path:
        """A small file system of its own."""
        path = self.directory / name
        path.mkdir()
        words = ["mount", "-t", "tmpfs", "-o", ",".join(["size=1m", "mode=0700", *options])]
        if subprocess.run([*words, "tmpfs", str(path)], capture_output=True).returncode:
            raise CannotBeMade("a tmpfs cannot be mounted: run the tests as root")
        self.stack.callback(subprocess.run, ["umount", "--lazy", str(path)], check=True)
        return path

    @property
    def config_file(self) -> Path:
        return self.directory / "upparat.conf"


Build = Callable[[Scene], None]


@dataclass(frozen=True)
class BrokenWorld:
    """A world, in words; ``steps`` are the names of the findings that it is about."""

    title: str
    steps: tuple[str, ...]
    build: Build


WORLDS: list[BrokenWorld] = []


def world(title: str, *steps: str) -> Callable[[Build], Build]:
    """Put a world into the list."""

    def add(build: Build) -> Build:
        WORLDS.append(BrokenWorld(title, steps, build))
        return build

    return add


# --- the configuration, and the device itself ---


@world("The configuration file is not there", "configuration")
def _no_file(scene: Scene) -> None:
    scene.sections.clear()


@world("`port` is misspelt `prot`", "configuration", "dns")
def _misspelt(scene: Scene) -> None:
    scene.broker(prot=8883)


@world("A hook names an interpreter that is not installed", "hook install")
def _no_interpreter(scene: Scene) -> None:
    scene.hook(b"#!/opt/none/bash\nexit 0\n")


@world("A hook was written on Windows", "hook install")
def _crlf(scene: Scene) -> None:
    scene.hook(b"#!/bin/sh\r\nexit 0\r\n")


@world("A hook is on a file system that is mounted with `noexec`", "configuration", "hook install")
def _noexec(scene: Scene) -> None:
    scene.hook(b"#!/bin/sh\nexit 0\n", scene.mount("data", "noexec"))


@world("`state_dir` is on a tmpfs", "state_dir")
def _tmpfs(scene: Scene) -> None:
    scene.sections["service"]["state_dir"] = scene.mount("run")


@world("`state_dir` is on a disk that is mounted read-only", "configuration", "state_dir")
def _read_only(scene: Scene) -> None:
    disk = scene.mount("disk")
    scene.sections["service"]["state_dir"] = disk
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)


@world("`state_dir` belongs to another user", "state_dir")
def _other_user(scene: Scene) -> None:
    state = scene.directory / "state"
    state.mkdir(mode=0o700)
    try:
        os.chown(state, 12345, 12345)
    except PermissionError:
        raise CannotBeMade("a directory cannot be given away: run the tests as root") from None


@world("Anybody can write to `state_dir`", "state_dir")
def _open_to_all(scene: Scene) -> None:
    state = scene.directory / "state"
    state.mkdir()
    state.chmod(0o777)


@world("The clock says 1970", "clock", "certificate")
def _clock(scene: Scene) -> None:
    if FAKETIME is None:
        raise CannotBeMade("faketime is not installed: apt-get install faketime")
    scene.secure()
    # The monotonic clock goes on: waits must end.
    scene.environment["FAKETIME_DONT_FAKE_MONOTONIC"] = "1"
    scene.before = [FAKETIME, "1970-01-01 00:10:00"]


@world("`TZ` names no time zone", "time zone")
def _time_zone(scene: Scene) -> None:
    scene.environment["TZ"] = "Europe/Zurch"


# --- the network ---


@world("The name of the broker is unknown", "dns", "tcp")
def _no_dns(scene: Scene) -> None:
    scene.broker(host="broker.invalid")


@world("Nothing listens at the broker's port", "tcp", "mqtt")
def _nothing_listens(scene: Scene) -> None:
    pass


@world("The proxy wants a password", "tcp", "proxy", "tls")
def _proxy(scene: Scene) -> None:
    proxy = scene.enter(Tinyproxy(scene.directory / "proxy", "me:secret"))
    scene.broker(proxy=proxy.bare_url)


# --- TLS ---


@world("`cafile` is of another authority", "tls", "mqtt")
def _wrong_authority(scene: Scene) -> None:
    scene.secure((Authority(), LOCAL))


@world("The broker's certificate is for another host", "tls")
def _wrong_host(scene: Scene) -> None:
    authority = Authority()
    scene.secure((authority, ["broker.example"]))
    scene.broker(cafile=authority.write(scene.directory / "theirs.pem"))


@world("The broker's certificate has expired", "tls")
def _expired(scene: Scene) -> None:
    authority = Authority()
    scene.secure((authority, LOCAL), (-9 * DAY, -2 * DAY))
    scene.broker(cafile=authority.write(scene.directory / "theirs.pem"))


@world("The device's certificate has expired", "certificate", "mqtt")
def _own_expired(scene: Scene) -> None:
    scene.secure()
    cert, key = scene.authority.issue(scene.directory, "old", valid=(-9 * DAY, -2 * DAY))
    scene.broker(certfile=cert, keyfile=key)


@world("The key belongs to another certificate", "configuration", "certificate")
def _other_key(scene: Scene) -> None:
    scene.secure()
    scene.broker(keyfile=scene.authority.issue(scene.directory, "other")[1])


@world("The broker speaks plain MQTT at that port", "tls")
def _no_tls(scene: Scene) -> None:
    scene.secure()
    scene.broker(port=scene.enter(RawBroker(_plain)).port, host="localhost")


def _plain(peer: Peer) -> None:
    """As some servers do, it answers what it does not understand."""
    peer.connection.recv(4096)
    peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")


@world(
    "The broker does not know the authority of the device's certificate",
    "certificate",
    "tls",
    "mqtt",
)
def _own_authority(scene: Scene) -> None:
    scene.secure()
    cert, key = Authority().issue(scene.directory, "stranger", valid=LONG)
    scene.broker(certfile=cert, keyfile=key)


# --- MQTT ---


@world("The password is wrong", "mqtt", "policy")
def _password(scene: Scene) -> None:
    file = scene.directory / "passwords"
    file.write_text("device:right\n")
    subprocess.run(["mosquitto_passwd", "-U", str(file)], check=True)
    scene.mosquitto(f"password_file {file}", "allow_anonymous false")
    scene.broker(username="device", password="wrong")


@world("The broker refuses the client id", "mqtt")
def _client_id(scene: Scene) -> None:
    scene.mosquitto("clientid_prefixes other-")


@world("Another device has the same client id", "client id", "policy")
def _twin(scene: Scene) -> None:
    broker = scene.mosquitto()
    twin = Client(CallbackAPIVersion.VERSION2, CLIENT_ID)
    twin.reconnect_delay_set(0.05, 0.05)  # type: ignore[arg-type]
    twin.connect(broker.host, broker.port)
    twin.loop_start()
    scene.stack.callback(hang_up, twin)
    wait_until(twin.is_connected)


@world("The policy of AWS lacks a topic filter", "policy", "jobs")
def _aws_policy(scene: Scene) -> None:
    scene.broker(host="127.0.0.1", port=scene.enter(RawBroker(_strict)).port)


def _strict(peer: Peer) -> None:
    """AWS IoT with MQTT 3.1.1: it closes the connection on a forbidden filter, and says nothing."""
    _, connect = peer.read()
    if connect[6] != 4:
        return
    peer.send(connack())
    while True:
        kind, body = peer.read()
        if kind & 0xF0 == SUBSCRIBE:
            if any(name.endswith("+/update/+") for name, _ in filters(body)):
                return
            peer.send(suback(body))
        elif kind & 0xF0 == PUBLISH:
            end = 2 + int.from_bytes(body[:2], "big")
            peer.send(puback(int.from_bytes(body[end : end + 2], "big")))
        elif kind != CONNECT:
            return


@world("The ACL of mosquitto lacks a topic", "policy", "jobs")
def _mosquitto_acl(scene: Scene) -> None:
    file = scene.directory / "acl"
    jobs = f"$aws/things/{THING}/jobs"
    file.write_text(f"topic read {jobs}/#\ntopic write {jobs}/get\ntopic write {jobs}/+/get\n")
    scene.mosquitto(f"acl_file {file}")


@world("Nobody answers behind the broker", "policy", "jobs")
def _no_aws(scene: Scene) -> None:
    scene.mosquitto()


@world("The agent runs", "mqtt", "client id", "policy", "jobs")
def _beside_agent(scene: Scene) -> None:
    broker = scene.mosquitto()
    scene.enter(Cloud(broker.port, THING))
    agent = Agent(scene.directory / "agent", scene.sections)
    scene.stack.callback(agent.stop)
    agent.start()
    agent.wait_for_log("Subscribed")


@world("The agent runs, and its policy allows no other client id", "mqtt", "policy", "jobs")
def _beside_agent_alone(scene: Scene) -> None:
    scene.mosquitto("clientid_prefixes other-")
    claim = Claim(scene.directory / "state")
    scene.stack.callback(claim.release)


# --- downloads ---


@world("The URL has expired", "download", "server time")
def _forbidden(scene: Scene) -> None:
    server = scene.enter(FileServer())
    file = server.add("/firmware.bin", b"content")
    file.expire()
    scene.after = ["--url", file.signed_url]


@world("Signatures are required, and the key file is missing", "configuration", "keys")
def _no_keys(scene: Scene) -> None:
    scene.sections["verify"] = {"require": "signature", "public_keys": "/etc/none.pem"}


# --- what doctor says ---


@contextmanager
def made(broken: BrokenWorld, directory: Path) -> Iterator[Scene]:
    """Make a world.

    :raises CannotBeMade: if this machine lacks something for it.
    """
    directory.mkdir(parents=True, exist_ok=True)
    with ExitStack() as stack:
        scene = Scene(directory, _sections(directory), stack)
        broken.build(scene)
        if scene.sections:
            Agent(directory, scene.sections).configure(scene.sections)
        yield scene


def _sections(directory: Path) -> dict[str, dict[str, object]]:
    return {
        "service": {
            "state_dir": directory / "state",
            "download_location": directory,
            "log_level": "DEBUG",
        },
        "broker": {
            "host": "127.0.0.1",
            "port": free_port(),
            "thing_name": THING,
            "client_id": CLIENT_ID,
        },
    }


def examine(scene: Scene) -> list[dict[str, str]]:
    """Run the real command, and return its findings. Its exit status fits the worst of them."""
    words = [str(Path(sys.executable).parent / "upparat"), "doctor", "--json"]
    ran = subprocess.run(
        [*scene.before, *words, "-c", str(scene.config_file), *scene.after],
        env=_environment(scene.environment),
        capture_output=True,
        text=True,
        timeout=PATIENCE + 30,
        check=False,
    )
    assert not ran.stderr, ran.stderr
    assert "secret" not in ran.stdout
    report = json.loads(ran.stdout)
    worst = {finding["level"] for finding in report["findings"]}
    expected = 2 if "failed" in worst else int("warning" in worst)
    assert ran.returncode == report["status"] == expected
    return list(report["findings"])


def _environment(more: Mapping[str, str]) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("COVERAGE_") and not name.lower().endswith("_proxy")
    }
    return {**kept, "TZ": "UTC", **more}


def lines(broken: BrokenWorld, scene: Scene, findings: Sequence[Mapping[str, str]]) -> list[str]:
    """The findings that the world is about; what differs from run to run has a name."""
    return [
        neutral(f"{each['level']} {each['name']}: {text(each)}", scene.directory)
        for each in findings
        if each["name"] in broken.steps
    ]


def text(finding: Mapping[str, str]) -> str:
    return ". ".join(filter(None, (finding["meaning"], finding["remedy"])))


def neutral(line: str, directory: Path) -> str:
    """A line without the paths, ports, times and processes of this run."""
    line = line.replace(str(directory), "/device")
    for pattern, name in (
        (r" \(_ssl\.c:\d+\)", ""),
        (r" in \d+ s\b", " in N s"),
        (r"port \d+", "port PORT"),
        (r"process \d+", "process PID"),
        (r"on \w+ (is made|belongs)", r"on DISK \1"),
        (r"\b20\d\d-\d\d-\d\d( \d\d:\d\d)?", "DATE"),
        (r"is not found: [^.]*", "is not found: REASON"),
    ):
        line = re.sub(pattern, name, line)
    return line
