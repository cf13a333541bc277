"""A broker that goes away, and answers of AWS that are lost, late, doubled, wrong or refusals."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.updates import ALL_CALLS, SUCCEEDED, Updates
from tests.simulator import faults
from tests.simulator.cloud import Cloud
from tests.simulator.connection import BROKER_OPTIONS
from tests.simulator.faults import FOREVER
from tests.support.certs import LOCAL, Certs, make_certs
from tests.support.mosquitto import Mosquitto, tls_listener
from tests.support.tcpports import free_port
from tests.support.waiting import PATIENCE
from upparat.job import Status

STATES = [state for _, state, _ in SUCCEEDED]
SUBSCRIBED = "Subscribed to the jobs of"
RESTARTING = "running the restart hook"


@pytest.fixture
def job(updates: Updates) -> str:
    """The id of a job that is there before the agent is."""
    updates.create("job-1")
    return "job-1"


def succeeds(updates: Updates) -> None:
    """Every step is reported once, and every hook runs once."""
    assert updates.end() == SUCCEEDED
    assert updates.hooks.names() == ALL_CALLS


# --- the broker is away ---


def test_a_job_that_is_created_while_the_broker_is_away(
    updates: Updates, broker: Mosquitto
) -> None:
    """Its notification never comes: the agent has to ask when it is connected again."""
    device = updates.start()
    device.wait_for_log("fetch_jobs -> monitor")
    broker.stop()
    updates.cloud.quiet = True
    updates.create()
    broker.start()
    succeeds(updates)


def test_the_restart_waits_for_the_broker(updates: Updates, broker: Mosquitto, job: str) -> None:
    """The device must not go down before AWS knows that it will."""
    rule = updates.cloud.on("update", faults.lost(), state="reboot_start")
    device = updates.start()
    updates.cloud.wait_for(lambda: rule.hits)
    broker.stop()
    device.wait_for_log("connecting again in")
    assert RESTARTING not in device.log
    broker.start()
    succeeds(updates)


def test_the_broker_comes_and_goes(updates: Updates, broker: Mosquitto, job: str) -> None:
    """It restarts on every report of the job, before AWS hears of it."""
    rules = [updates.cloud.on("update", faults.lost(), state=state) for state in STATES[1:]]
    updates.start()
    for rule in rules:
        updates.cloud.wait_for(functools.partial(getattr, rule, "hits"))
        broker.restart()
    succeeds(updates)


# --- notifications are lost ---


def test_a_lost_notification_is_made_up_for_by_the_poll(updates: Updates) -> None:
    device = updates.start(service={"poll_interval": 1})
    device.wait_for_log("fetch_jobs -> monitor")
    updates.cloud.quiet = True
    updates.create()
    succeeds(updates)


def test_a_cancellation_whose_notification_is_lost_is_found_by_the_poll(
    updates: Updates, job: str
) -> None:
    updates.file.stall(50_000)
    device = updates.start(service={"poll_interval": 1})
    assert updates.file.stalled.wait(PATIENCE)
    updates.cloud.wait_for_state(job, "download_start")
    updates.cloud.quiet = True
    updates.cloud.cancel(job, force=True)
    device.wait_for_log("ended by others")
    assert updates.history(job) == SUCCEEDED[:1]
    assert "install" not in updates.hooks.names()


def test_a_lost_notification_is_made_up_for_by_a_reconnection(
    updates: Updates, broker: Mosquitto
) -> None:
    device = updates.start()
    device.wait_for_log("fetch_jobs -> monitor")
    updates.cloud.quiet = True
    updates.create()
    broker.restart()
    succeeds(updates)


# --- answers go wrong ---


def test_an_answer_that_is_lost(updates: Updates, job: str) -> None:
    """The request was worked on. It is sent again, and the update is not made twice."""
    updates.cloud.on("update", faults.dropped(), state="reboot_start")
    updates.start()
    succeeds(updates)


def test_an_answer_that_is_late(updates: Updates, job: str) -> None:
    rule = updates.cloud.on("update", faults.delayed(), state="installation_start")
    updates.start()
    updates.cloud.wait_for(lambda: rule.hits)
    updates.cloud.notify()
    updates.cloud.release()
    succeeds(updates)


def test_the_restart_waits_for_the_answer(updates: Updates, job: str) -> None:
    """The agent is stopped to see that it would not have gone on by itself."""
    rule = updates.cloud.on("update", faults.delayed(), state="reboot_start")
    device = updates.start()
    updates.cloud.wait_for(lambda: rule.hits)
    assert device.stop() == 0
    assert RESTARTING not in device.log
    assert "restart" not in updates.hooks.names()


def test_every_answer_comes_twice(updates: Updates, job: str) -> None:
    updates.cloud.on("*", faults.duplicated(), FOREVER)
    updates.start()
    succeeds(updates)


def test_an_answer_that_makes_no_sense(updates: Updates, broker: Mosquitto, job: str) -> None:
    """It counts as none: the next connection brings a better one."""
    rule = updates.cloud.on("update", faults.malformed(b"[" * 100_000), state="reboot_start")
    updates.start()
    updates.cloud.wait_for(lambda: rule.hits)
    broker.restart()
    succeeds(updates)


def test_an_answer_for_somebody_else(updates: Updates, broker: Mosquitto, job: str) -> None:
    updates.cloud.on("update", faults.wrong_token(), state="reboot_start")
    device = updates.start()
    device.wait_for_log("/jobs/job-1/update is not for us")
    assert RESTARTING not in device.log
    broker.restart()
    succeeds(updates)


def test_a_list_with_nonsense_in_it(updates: Updates, job: str) -> None:
    jobs = [None, 7, {}, {"jobId": "+/#"}, {"jobId": "none", "executionNumber": 1, "queuedAt": 1}]
    updates.cloud.on("get", faults.with_members(queuedJobs=jobs))
    updates.start(service={"poll_interval": 1})
    succeeds(updates)


def test_a_description_with_nonsense_in_it(updates: Updates, job: str) -> None:
    execution = {"jobId": "job-1", "status": "BAKING"}
    updates.cloud.on("describe", faults.with_members(execution=execution))
    updates.start(service={"poll_interval": 1})
    succeeds(updates)


# --- requests are refused ---


def test_refused_for_the_moment(updates: Updates, job: str) -> None:
    for operation in ("get", "describe", "update"):
        updates.cloud.on(operation, faults.rejected("InternalError"))
    updates.start()
    succeeds(updates)


def test_a_description_is_refused(updates: Updates, job: str) -> None:
    """The next look at the list tries it again."""
    updates.cloud.on("describe", faults.rejected("Unheard-Of"))
    updates.start(service={"poll_interval": 1})
    succeeds(updates)


def test_the_list_is_refused(updates: Updates, broker: Mosquitto, job: str) -> None:
    """No list is not an empty list; everything is asked again after a reconnection."""
    updates.cloud.on("get", faults.rejected("InvalidTopic"))
    device = updates.start()
    device.wait_for_log("The list of jobs was refused")
    broker.restart()
    succeeds(updates)


def test_updates_are_refused_though_they_are_right(updates: Updates, job: str) -> None:
    """AWS's copies agree after a while: one refusal of each does not end a job."""
    for state in STATES:
        updates.cloud.on(
            "update", faults.rejected("InvalidStateTransition", state=True), state=state
        )
    updates.start()
    succeeds(updates)


def test_details_that_are_refused(updates: Updates, job: str) -> None:
    """Should AWS not like what is said, it hears the state and the message, and then the state
    alone."""
    refused = faults.rejected("InvalidRequest")
    updates.cloud.on("update", refused, 2, state="complete_soft_restart")
    updates.start()
    assert updates.cloud.wait_for_end(job).status is Status.SUCCEEDED
    assert updates.history(job) == [*SUCCEEDED[:3], ("SUCCEEDED", "complete_soft_restart", "")]
    assert updates.hooks.names() == ALL_CALLS


def test_somebody_else_changes_the_execution(updates: Updates, job: str) -> None:
    """Real version mismatches: the agent takes the version over and reports again."""

    def meddle() -> None:
        updates.cloud.report(job, "IN_PROGRESS", by="hand")

    for state in STATES:
        updates.cloud.when(job, state, meddle, before=True)
    updates.start()
    updates.cloud.wait_for_end(job)
    by_hand = ("IN_PROGRESS", "", "")
    assert updates.history(job) == [each for step in SUCCEEDED for each in (by_hand, step)]
    assert updates.hooks.names() == ALL_CALLS


ENDS: dict[str, Callable[[Cloud], object]] = {
    "cancelled": lambda cloud: cloud.cancel("job-1", force=True),
    "deleted": lambda cloud: cloud.delete("job-1", force=True),
}


@pytest.mark.parametrize(
    ("state", "end"),
    [("reboot_start", ENDS["cancelled"]), ("complete_soft_restart", ENDS["deleted"])],
    ids=ENDS,
)
def test_the_execution_has_ended_when_the_update_arrives(
    state: str, end: Callable[[Cloud], object], updates: Updates, job: str
) -> None:
    """AWS refuses it with what is true; nothing more is done, and the next job runs."""
    updates.cloud.quiet = True
    updates.cloud.when(job, state, lambda: end(updates.cloud), before=True)
    device = updates.start(service={"poll_interval": 1})
    device.wait_for_log("the execution is over in AWS")
    updates.create("job-2", version=updates.hooks.version_file.read_text())
    updates.cloud.wait_for_end("job-2")
    assert updates.history(job) == SUCCEEDED[: STATES.index(state)]
    assert updates.cloud.history("job-2") == [("SUCCEEDED", "version_already_installed", "none")]
    assert ("restart" in updates.hooks.names()) == (state == STATES[-1])


def test_an_update_is_refused_for_good(updates: Updates, job: str) -> None:
    """AWS does not know the execution any more: its download is stopped."""
    updates.file.stall(50_000)
    updates.cloud.on("update", faults.rejected("ResourceNotFound"), FOREVER, job_id=job)
    device = updates.start()
    device.wait_for_log("ended by others")
    assert "install" not in updates.hooks.names()
    assert updates.cloud.history(job) == []


# --- things on our topics that nobody has asked for ---

NOBODY_ASKED = [
    "notify",
    "get/accepted",
    "get/rejected",
    "job-1/get/accepted",
    "job-1/get/rejected",
    "job-1/update/accepted",
    "job-1/update/rejected",
    "job-1/update/whatever",
    "strange job/get/accepted",
]
RUBBISH = [
    b"",
    b"\x00\xff" * 1000,
    b"null",
    b"[]",
    b"{" * 50_000,
    json.dumps({"clientToken": None, "code": "ResourceNotFound", "jobs": "x"}).encode(),
    json.dumps({"jobs": {"QUEUED": [{"jobId": "x" * 100_000}]}}).encode(),
    json.dumps({"execution": {"jobId": "job-1", "status": "CANCELED"}}).encode(),
]


def test_rubbish_in_mid_job(updates: Updates, job: str) -> None:
    updates.file.stall(50_000)
    updates.start()
    assert updates.file.stalled.wait(PATIENCE)
    updates.cloud.wait_for_state(job, "download_start")
    for topic in NOBODY_ASKED:
        for payload in RUBBISH:
            updates.cloud.publish(topic, payload)
    updates.file.release()
    succeeds(updates)


# --- TLS ---


class TestTls:
    """The agent shows a client certificate; the cloud takes a door of its own."""

    @pytest.fixture
    def certs(self, tmp_path: Path, request: pytest.FixtureRequest) -> Certs:
        """The parameter is the names of the server."""
        return make_certs(tmp_path / "certs", getattr(request, "param", LOCAL))

    @pytest.fixture
    def tls_port(self) -> int:
        return free_port()

    @pytest.fixture
    def broker(self, tmp_path: Path, certs: Certs, tls_port: int) -> Iterator[Mosquitto]:
        listener = [*tls_listener(tls_port, certs), "use_identity_as_username true"]
        with Mosquitto(tmp_path, options=[*BROKER_OPTIONS, *listener]) as broker:
            yield broker

    @pytest.fixture
    def secure(self, certs: Certs, tls_port: int) -> dict[str, object]:
        """The section of the agent's configuration."""
        return {
            "port": tls_port,
            "cafile": certs.cafile,
            "certfile": certs.client_cert,
            "keyfile": certs.client_key,
        }

    def test_a_job(
        self, updates: Updates, broker: Mosquitto, job: str, secure: dict[str, object]
    ) -> None:
        updates.start(broker=secure)
        succeeds(updates)
        assert "as agent-1 (p2, c1, k60, u'device')" in broker.log
