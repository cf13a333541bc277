"""The steps on MQTT, with brokers that accept, refuse, close and hang."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.rawbroker import RawBroker
from tests.unit.doctor.bench import QUICK, DoctorBench, examination, levels
from tests.unit.doctor.brokers import Iot, refusing, silent, taken_over
from upparat.config.settings import BrokerSettings
from upparat.doctor.examination import Examination
from upparat.doctor.finding import Finding
from upparat.doctor.mqtt import ask, connect
from upparat.iotjobs.wire import Topics

BRIEF = replace(QUICK, jobs=0.1)
"""For an AWS that never answers."""


def at(server: RawBroker, **members: Any) -> Examination:
    broker = BrokerSettings(host="127.0.0.1", port=server.port, thing_name="thing")
    return examination(broker=broker, **members)


class ConnectTests(DoctorBench):
    def test_a_client_that_is_accepted(self) -> None:
        with Iot().broker() as server:
            found = list(connect(at(server)))
        self.assertEqual(levels(found), [("mqtt", "ok"), ("client id", "ok")])

    def test_each_refusal_in_words(self) -> None:
        for code, words in (
            (1, "does not speak MQTT 3.1.1"),
            (2, "Choose another [broker] client_id"),
            (3, "Try again later"),
            (4, "Check [broker] username and password"),
            (5, "allow the client id on the broker"),
        ):
            with refusing(code) as server:
                [found] = connect(at(server))
            self.says(found, "failed", words, "upparat")

    def test_a_policy_that_forbids_the_client_id(self) -> None:
        with Iot(lambda name: name == "upparat").broker() as server:
            [found] = connect(at(server))
        self.says(found, "failed", "closed the connection", "iot:Connect")

    def test_a_broker_that_does_not_answer(self) -> None:
        with silent() as server:
            [found] = connect(at(server, limits=replace(QUICK, answer=0.1)))
        self.says(found, "failed", "does not answer CONNECT")

    def test_another_client_takes_over(self) -> None:
        with taken_over() as server:
            found = list(connect(at(server, limits=replace(QUICK, watch=5.0))))
        self.assertEqual(levels(found), [("mqtt", "ok"), ("client id", "failed")])
        self.says(found[1], "failed", "another client uses upparat")

    def test_beside_an_agent_another_id_is_used(self) -> None:
        with Iot(lambda name: name == "upparat").broker() as server:
            found = list(connect(at(server, agent="process 7")))
        self.assertEqual(levels(found), [("mqtt", "ok"), ("client id", "skipped")])
        self.says(found[0], "ok", "upparat-doctor")
        self.says(found[1], "skipped", "process 7")

    def test_beside_an_agent_a_forbidden_id_proves_nothing(self) -> None:
        with Iot(lambda name: name == "upparat-doctor").broker() as server:
            made = at(server, agent="process 7")
            [found] = connect(made)
        self.says(found, "warning", "upparat-doctor", "Stop the agent")
        self.assertEqual(levels(ask(made)), [("jobs", "skipped")])


class JobsTests(DoctorBench):
    def asked(self, iot: Iot, **members: Any) -> Finding:
        with iot.broker() as server:
            [found] = ask(at(server, **members))
        return found

    def test_pending_jobs_are_counted(self) -> None:
        self.says(self.asked(Iot()), "ok", "0 pending jobs")
        jobs = {"queuedJobs": [{"jobId": "a", "queuedAt": 1}], "inProgressJobs": []}
        self.says(self.asked(Iot(answer=("accepted", jobs))), "ok", "1 pending job")

    def test_only_filters_of_the_agent_are_used(self) -> None:
        """For a policy the filter ``get/accepted`` is another than ``get/+``."""
        topics = Topics("thing")
        allowed = {"upparat", topics.get, *topics.filters}
        self.says(self.asked(Iot(lambda name: name not in allowed)), "ok")

    def test_a_refusal(self) -> None:
        answer = ("rejected", {"code": "ResourceNotFound"})
        self.says(self.asked(Iot(answer=answer)), "failed", "ResourceNotFound", "thing_name")

    def test_silence(self) -> None:
        self.says(self.asked(Iot(answer=None), limits=BRIEF), "failed", "no answer on")

    def test_an_answer_to_another_client(self) -> None:
        answer = ("accepted", {"clientToken": "of another"})
        self.says(self.asked(Iot(answer=answer), limits=BRIEF), "failed", "no answer on")

    def test_a_forbidden_topic(self) -> None:
        found = self.asked(Iot(lambda name: name.endswith("/get")))
        self.says(found, "failed", "closed the connection")
