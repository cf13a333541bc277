"""A broker that goes away, and answers of AWS that are lost, late, doubled, wrong or refusals."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support import faults
from tests.support.certs import LOCAL, Certs, make_certs
from tests.support.cloud import Cloud
from tests.support.cloud_line import BROKER_OPTIONS
from tests.support.faults import FOREVER
from tests.support.files import File
from tests.support.mosquitto import Mosquitto, free_port, tls_listener
from tests.support.scripts import Hooks
from tests.support.waiting import PATIENCE
from upparat.job import Status

SUCCEEDED = [
    ("IN_PROGRESS", "download_start", "none"),
    ("IN_PROGRESS", "installation_start", "none"),
    ("IN_PROGRESS", "reboot_start", "none"),
    ("SUCCEEDED", "complete_soft_restart", "none"),
]
STATES = [state for _, state, _ in SUCCEEDED]
ALL_HOOKS = ["version", "download", "install", "restart", "version", "ready"]
SUBSCRIBED = "Subscribed to the jobs of"
RESTARTING = "running the restart hook"

REQUESTS = [("get", None), ("describe", None), *(("update", state) for state in STATES)]
"""What the agent asks for in a job without trouble; only updates have a state."""

of_each_request = pytest.mark.parametrize(("operation", "state"), REQUESTS)


@pytest.fixture
def job(cloud: Cloud, firmware: File, document: Documents) -> str:
    """The id of a job that is there before the agent is."""
    cloud.create_job("job-1", document(firmware))
    return "job-1"


def succeeds(cloud: Cloud, hooks: Hooks) -> None:
    """Every step is reported once, and every hook runs once."""
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == SUCCEEDED
    assert hooks.names() == ALL_HOOKS


# --- the broker is away ---


def test_a_job_that_is_created_while_the_broker_is_away(
    agent: AgentFactory,
    broker: Mosquitto,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    """Its notification never comes: the agent has to ask when it is connected again."""
    device = agent()
    device.wait_for_log("fetch_jobs -> monitor")
    broker.stop()
    cloud.quiet = True
    cloud.create_job("job-1", document(firmware))
    broker.start()
    succeeds(cloud, hooks)


def test_a_job_in_the_hands_of_hooks_while_the_broker_is_away(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """What happened meanwhile is reported later, in its order."""
    go_on = hooks.directory / "go-on"
    hooks.install([["wait", str(go_on)]])
    device = agent()
    hooks.wait_for_call("install")
    cloud.wait_for_state(job, "installation_start")
    broker.stop()
    device.wait_for_log("connecting again in")
    go_on.touch()
    device.wait_for_log("install -> restart")
    broker.start()
    succeeds(cloud, hooks)


def test_the_restart_waits_for_the_broker(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """The device must not go down before AWS knows that it will."""
    rule = cloud.on("update", faults.lost(), state="reboot_start")
    device = agent()
    cloud.wait_for(lambda: rule.hits)
    broker.stop()
    device.wait_for_log("connecting again in")
    assert RESTARTING not in device.log
    broker.start()
    succeeds(cloud, hooks)


def test_the_broker_is_not_there_at_the_start(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    broker.stop()
    device = agent()
    device.wait_for_log("connecting again in")
    broker.start()
    succeeds(cloud, hooks)


def test_the_agent_can_be_stopped_while_the_broker_is_away(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud
) -> None:
    device = agent()
    device.wait_for_log(SUBSCRIBED)
    broker.stop()
    device.wait_for_log("connecting again in")
    assert device.stop() == 0


def test_the_broker_comes_and_goes(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """It restarts on every report of the job, before AWS hears of it."""
    rules = [cloud.on("update", faults.lost(), state=state) for state in STATES[1:]]
    agent()
    for rule in rules:
        cloud.wait_for(functools.partial(getattr, rule, "hits"))
        broker.restart()
    succeeds(cloud, hooks)


# --- notifications are lost ---


def test_a_lost_notification_is_made_up_for_by_the_poll(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    device = agent(service={"poll_interval": 1})
    device.wait_for_log("fetch_jobs -> monitor")
    cloud.quiet = True
    cloud.create_job("job-1", document(firmware))
    succeeds(cloud, hooks)


def test_a_cancellation_whose_notification_is_lost_is_found_by_the_poll(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, job: str
) -> None:
    firmware.stall(50_000)
    device = agent(service={"poll_interval": 1})
    assert firmware.stalled.wait(PATIENCE)
    cloud.quiet = True
    cloud.cancel(job, force=True)
    device.wait_for_log("ended by others")
    assert steps(cloud.history(job)) == SUCCEEDED[:1]
    assert "install" not in hooks.names()


def test_a_lost_notification_is_made_up_for_by_a_reconnection(
    agent: AgentFactory,
    broker: Mosquitto,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
) -> None:
    device = agent()
    device.wait_for_log("fetch_jobs -> monitor")
    cloud.quiet = True
    cloud.create_job("job-1", document(firmware))
    broker.restart()
    succeeds(cloud, hooks)


# --- answers go wrong ---


@pytest.mark.parametrize(
    ("operation", "state"),
    [("get", None), ("update", "reboot_start"), ("update", "complete_soft_restart")],
)
def test_an_answer_that_is_lost(
    operation: str, state: str | None, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """The request was worked on. It is asked again, and an update is not made twice."""
    cloud.on(operation, faults.dropped(), state=state)
    agent()
    succeeds(cloud, hooks)


def test_a_request_that_is_lost(agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str) -> None:
    cloud.on("describe", faults.lost())
    agent()
    succeeds(cloud, hooks)


@of_each_request
def test_an_answer_that_is_late(
    operation: str, state: str | None, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    rule = cloud.on(operation, faults.delayed(), state=state)
    agent()
    cloud.wait_for(lambda: rule.hits)
    cloud.notify()
    cloud.release()
    succeeds(cloud, hooks)


def test_the_restart_waits_for_the_answer(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """The agent is stopped to see that it would not have gone on by itself."""
    rule = cloud.on("update", faults.delayed(), state="reboot_start")
    device = agent()
    cloud.wait_for(lambda: rule.hits)
    assert device.stop() == 0
    assert RESTARTING not in device.log
    assert "restart" not in hooks.names()


def test_an_answer_that_comes_after_the_second_one(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """The request was repeated meanwhile: the late answer says nothing new."""
    cloud.on("update", faults.delayed(), state="reboot_start")
    cloud.when(job, "complete_soft_restart", cloud.release)
    agent()
    succeeds(cloud, hooks)


def test_every_answer_comes_twice(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    cloud.on("*", faults.duplicated(), FOREVER)
    agent()
    succeeds(cloud, hooks)


MALFORMED = {
    "no JSON": b'{"clientToken":',
    "a list": [],
    "no token": {},
    "deep": b"[" * 100_000,
}


@pytest.mark.parametrize("payload", MALFORMED.values(), ids=MALFORMED)
def test_an_answer_that_makes_no_sense(
    payload: object, agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """It counts as none: the next connection brings a better one."""
    rule = cloud.on("update", faults.malformed(payload), state="reboot_start")
    agent()
    cloud.wait_for(lambda: rule.hits)
    broker.restart()
    succeeds(cloud, hooks)


def test_an_answer_for_somebody_else(
    agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    cloud.on("update", faults.wrong_token(), state="reboot_start")
    device = agent()
    device.wait_for_log("/jobs/job-1/update is not for us")
    assert RESTARTING not in device.log
    broker.restart()
    succeeds(cloud, hooks)


@pytest.mark.parametrize(
    "members",
    [
        {"queuedJobs": "a text"},
        {"queuedJobs": [None, 7, {}, {"jobId": 1}, {"jobId": "+/#"}]},
        {"queuedJobs": [{"jobId": "no-such-job", "executionNumber": 1, "queuedAt": 1}]},
    ],
    ids=["no list", "no jobs", "unknown jobs"],
)
def test_a_list_with_nonsense_in_it(
    members: dict[str, object], agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    cloud.on("get", faults.with_members(**members))
    agent(service={"poll_interval": 1})
    succeeds(cloud, hooks)


@pytest.mark.parametrize(
    "execution",
    ["a text", {}, {"jobId": "job-1", "status": "BAKING"}, {"jobId": "job-2", "status": "QUEUED"}],
    ids=["no object", "empty", "no status", "another job"],
)
def test_a_description_with_nonsense_in_it(
    execution: object, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    cloud.on("describe", faults.with_members(execution=execution))
    agent(service={"poll_interval": 1})
    succeeds(cloud, hooks)


# --- requests are refused ---


@pytest.mark.parametrize("code", ["RequestThrottled", "InternalError"])
def test_refused_for_the_moment(
    code: str, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    for operation in ("get", "describe", "update"):
        cloud.on(operation, faults.rejected(code))
    agent()
    succeeds(cloud, hooks)


@pytest.mark.parametrize("code", ["ResourceNotFound", "InvalidRequest", "Unheard-Of"])
def test_a_description_is_refused(
    code: str, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """The next look at the list tries it again."""
    cloud.on("describe", faults.rejected(code))
    agent(service={"poll_interval": 1})
    succeeds(cloud, hooks)


@pytest.mark.parametrize("code", ["InvalidRequest", "InvalidTopic"])
def test_the_list_is_refused(
    code: str, agent: AgentFactory, broker: Mosquitto, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """No list is not an empty list; everything is asked again after a reconnection."""
    cloud.on("get", faults.rejected(code))
    device = agent()
    device.wait_for_log("The list of jobs was refused")
    broker.restart()
    succeeds(cloud, hooks)


@pytest.mark.parametrize(
    ("code", "told"),
    [
        ("VersionMismatch", True),
        ("InvalidStateTransition", True),
        ("InvalidStateTransition", False),
        ("TerminalStateReached", False),
        ("ResourceNotFound", False),
    ],
)
def test_updates_are_refused_though_they_are_right(
    code: str, told: bool, agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """AWS's copies agree after a while: one refusal of each does not end a job.

    :param told: whether the refusal tells how the execution is.
    """
    for state in STATES:
        cloud.on("update", faults.rejected(code, state=told), state=state)
    agent()
    succeeds(cloud, hooks)


def test_details_that_are_refused(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """Should AWS not like what is said, it hears the bare status, and keeps the last details."""
    cloud.on("update", faults.rejected("InvalidRequest"), state="complete_soft_restart")
    agent()
    assert cloud.wait_for_end(job).status is Status.SUCCEEDED
    assert steps(cloud.history(job)) == [*SUCCEEDED[:3], ("SUCCEEDED", "reboot_start", "none")]
    assert hooks.names() == ALL_HOOKS


def test_somebody_else_changes_the_execution(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, job: str
) -> None:
    """Real version mismatches: the agent takes the version over and reports again."""

    def meddle() -> None:
        cloud.report(job, "IN_PROGRESS", by="hand")

    for state in STATES:
        cloud.when(job, state, meddle, before=True)
    agent()
    cloud.wait_for_end(job)
    by_hand = ("IN_PROGRESS", "", "")
    assert steps(cloud.history(job)) == [each for step in SUCCEEDED for each in (by_hand, step)]
    assert hooks.names() == ALL_HOOKS


ENDS: dict[str, Callable[[Cloud], object]] = {
    "cancelled": lambda cloud: cloud.cancel("job-1", force=True),
    "deleted": lambda cloud: cloud.delete("job-1", force=True),
}


@pytest.mark.parametrize("end", ENDS.values(), ids=ENDS)
@pytest.mark.parametrize("state", STATES[1:])
def test_the_execution_has_ended_when_the_update_arrives(
    state: str,
    end: Callable[[Cloud], object],
    agent: AgentFactory,
    cloud: Cloud,
    hooks: Hooks,
    firmware: File,
    document: Documents,
    job: str,
) -> None:
    """AWS refuses it with what is true; nothing more is done, and the next job runs."""
    cloud.quiet = True
    cloud.when(job, state, lambda: end(cloud), before=True)
    device = agent(service={"poll_interval": 1})
    device.wait_for_log("the execution is over in AWS")
    cloud.create_job("job-2", document(firmware, version=hooks.version_file.read_text()))
    cloud.wait_for_end("job-2")
    assert steps(cloud.history(job)) == SUCCEEDED[: STATES.index(state)]
    assert cloud.history("job-2") == [("SUCCEEDED", "version_already_installed", "none")]
    assert ("restart" in hooks.names()) == (state == STATES[-1])


@pytest.mark.parametrize("code", ["ResourceNotFound", "TerminalStateReached"])
def test_an_update_is_refused_for_good(
    code: str, agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, job: str
) -> None:
    """AWS does not know the execution any more: its download is stopped."""
    firmware.stall(50_000)
    cloud.on("update", faults.rejected(code), FOREVER, job_id=job)
    device = agent()
    device.wait_for_log("ended by others")
    assert "install" not in hooks.names()
    assert cloud.history(job) == []


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


def test_rubbish_in_mid_job(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, job: str
) -> None:
    firmware.stall(50_000)
    agent()
    assert firmware.stalled.wait(PATIENCE)
    cloud.wait_for_state(job, "download_start")
    for topic in NOBODY_ASKED:
        for payload in RUBBISH:
            cloud.publish(topic, payload)
    firmware.release()
    succeeds(cloud, hooks)


def test_a_large_message(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    """More than one TCP segment, and more than AWS would send."""
    device = agent()
    device.wait_for_log(SUBSCRIBED)
    jobs = [{"jobId": f"job-{n}", "executionNumber": 1, "queuedAt": n} for n in range(40_000)]
    cloud.publish("notify", {"jobs": {"QUEUED": jobs}, "timestamp": 1})
    cloud.create_job("job-1", document(firmware))
    succeeds(cloud, hooks)


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
        self,
        agent: AgentFactory,
        broker: Mosquitto,
        cloud: Cloud,
        hooks: Hooks,
        job: str,
        secure: dict[str, object],
    ) -> None:
        agent(broker=secure)
        succeeds(cloud, hooks)
        assert "as agent-1 (p2, c1, k60, u'device')" in broker.log

    def test_the_broker_restarts(
        self,
        agent: AgentFactory,
        broker: Mosquitto,
        cloud: Cloud,
        hooks: Hooks,
        firmware: File,
        job: str,
        secure: dict[str, object],
    ) -> None:
        firmware.stall(50_000)
        agent(broker=secure)
        assert firmware.stalled.wait(PATIENCE)
        cloud.wait_for_state(job, "download_start")
        broker.restart()
        firmware.release()
        succeeds(cloud, hooks)

    def test_a_certificate_of_another_authority(
        self,
        agent: AgentFactory,
        cloud: Cloud,
        hooks: Hooks,
        job: str,
        secure: dict[str, object],
        tmp_path: Path,
    ) -> None:
        """The agent does not tell a stranger anything, and tries again later."""
        other = make_certs(tmp_path / "other")
        device = agent(broker={**secure, "cafile": other.cafile})
        device.wait_for_log("certificate verify failed")
        device.wait_for_log("connecting again in")
        assert device.alive
        assert cloud.requests == []

    @pytest.mark.parametrize("certs", [["broker.example", "127.0.0.2"]], indirect=True)
    def test_a_broker_of_another_name(
        self, agent: AgentFactory, cloud: Cloud, job: str, secure: dict[str, object]
    ) -> None:
        device = agent(broker=secure)
        device.wait_for_log("certificate is not valid for '127.0.0.1'")
        device.wait_for_log("connecting again in")
        assert device.alive
        assert cloud.requests == []

    def test_without_a_certificate_the_broker_lets_nobody_in(
        self, agent: AgentFactory, cloud: Cloud, job: str, tls_port: int
    ) -> None:
        device = agent(broker={"port": tls_port})
        device.wait_for_log("connecting again in")
        assert cloud.requests == []
