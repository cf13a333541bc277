"""Nothing that the agent shows holds a secret of its configuration or of its job."""

from __future__ import annotations

import tempfile
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pytest

from tests.e2e.updates import META, Updates
from tests.simulator.broker_rules import broker_breaches
from tests.simulator.connection import BROKER_OPTIONS
from tests.support.agent import Agent
from tests.support.browsing import Page, Watcher
from tests.support.certs import Certs, make_certs
from tests.support.mosquitto import Mosquitto, tls_listener
from tests.support.scripts import complain, leave
from tests.support.tcpports import free_port
from tests.support.waiting import PATIENCE, wait_until
from tests.support.world import CLIENT_ID, THING
from upparat.control.client import AskingFailed, ControlConnection
from upparat.control.protocol import ControlRequest, RequestKind, encode

PASSWORD = "hunter2-of-the-broker"
TLS_PORT = free_port()


@pytest.fixture
def certs(tmp_path: Path) -> Certs:
    return make_certs(tmp_path / "certs")


@pytest.fixture
def broker(tmp_path: Path, certs: Certs) -> Iterator[Mosquitto]:
    options = [*BROKER_OPTIONS, *tls_listener(TLS_PORT, certs)]
    with Mosquitto(tmp_path, options=options) as broker:
        yield broker
    assert broker_breaches(broker.log, CLIENT_ID, THING) == []


@pytest.fixture
def path() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as directory:
        yield Path(directory, "control.sock")


class Listener:
    """Keeps all that the agent answers to one request on its socket, until the agent ends."""

    def __init__(self, path: Path, request: ControlRequest) -> None:
        self.text = ""
        self._connection = ControlConnection(path, request)
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(AskingFailed):
            while True:
                self.text += encode(self._connection.message(PATIENCE)).decode()

    def end(self) -> str:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.text


def secrets(certs: Certs) -> list[str]:
    """What must show nowhere: the query of the URL, ``meta``, the password, and the key."""
    key = Path(certs.client_key).read_text().splitlines()[1:-1]
    return ["X-Amz", "secret", META, PASSWORD, *key]


def start(updates: Updates, certs: Certs, path: Path, page: Page) -> Agent:
    return updates.start(
        broker={
            "port": TLS_PORT,
            "cafile": certs.cafile,
            "certfile": certs.client_cert,
            "keyfile": certs.client_key,
            "username": "device",
            "password": PASSWORD,
        },
        control={"socket": path, "http": f"127.0.0.1:{page.port}"},
        hooks={"retry_interval": 2},  # long enough to be seen on the page
    )


def test_all_that_the_agent_shows(updates: Updates, certs: Certs, path: Path) -> None:
    page = Page(free_port())
    device = start(updates, certs, path, page)
    wait_until(path.exists)
    page.wait()
    listeners = [Listener(path, ControlRequest(RequestKind.FOLLOW))]
    watcher = Watcher(page)
    updates.file.status(503, headers={"Retry-After": "1"})
    updates.file.redirect(f"http://127.0.0.1:{free_port()}/f?X-Amz-Signature=secret")
    updates.hooks.install([leave(3)], [complain("no room"), leave(1)])
    answers: dict[str, str] = {}

    def ask(moment: str) -> None:
        for place in ("/", "/status", "/metrics"):
            answers[f"{place} {moment}"] = page.body(place)
        with ControlConnection(path, ControlRequest(RequestKind.STATUS)) as connection:
            answers[f"status {moment}"] = encode(connection.message()).decode()

    updates.create()
    watcher.wait_for("503")
    ask("in a back-off")
    listeners.append(Listener(path, ControlRequest(RequestKind.LOG, follow=True)))
    watcher.wait_for("install, before run 2")
    ask("before a run")
    assert updates.end()[-1][1] == "installation_hook_failed"
    watcher.wait_for("installation_hook_failed")
    ask("at the end")
    assert device.stop() == 0
    answers["/events"] = "".join(watcher.end())
    answers["follow"], answers["log"] = (each.end() for each in listeners)
    assert "installation_hook_failed" in answers["follow"]
    assert "no room" in answers["log"]
    [log] = (device.directory / "state" / "logs").glob("*.log")
    answers |= {"the log of the job": log.read_text(), "the log of the agent": device.log}
    check(answers, secrets(certs))


def check(answers: Mapping[str, str], forbidden: list[str]) -> None:
    for place, text in answers.items():
        assert text, place
        for secret in forbidden:
            assert secret not in text, f"{place} holds {secret!r}"
