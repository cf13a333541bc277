"""The policy, topic by topic: the culprit is named, whatever the broker says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from tests.support.rawbroker import RawBroker
from tests.unit.doctor.bench import QUICK, DoctorBench, examination
from tests.unit.doctor.brokers import Iot, five, level
from upparat.config.settings import BrokerSettings
from upparat.doctor.finding import Finding
from upparat.doctor.policy import examine, trials

BASE = "$aws/things/thing/jobs/"


class PolicyTests(DoctorBench):
    def found(self, server: RawBroker, **members: Any) -> list[Finding]:
        self.server = server
        with server:
            broker = BrokerSettings(host="127.0.0.1", port=server.port, thing_name="thing")
            self.examined = examination(broker=broker, **members)
            return list(examine(self.examined))

    def test_every_topic_of_the_agent_is_tried(self) -> None:
        tried = [(trial.action, trial.topic.removeprefix(BASE)) for trial in trials("thing")]
        filters = [("iot:Subscribe", name) for name in ("notify", "get/+", "+/get/+")]
        self.assertEqual(tried[:3], filters)
        self.assertEqual(tried[3], ("iot:Subscribe", "+/update/+"))
        topics = [("iot:Publish", name) for name in ("get", "JOB/get", "JOB/update")]
        self.assertEqual(tried[4:], topics)

    def test_all_are_allowed(self) -> None:
        for server in (Iot().broker(), five({})):
            [found] = self.found(server)
            self.says(found, "ok", "none of the 7 topics of thing")

    def test_each_culprit_behind_a_closed_connection(self) -> None:
        for culprit in ("notify", "get/+", "+/get/+", "+/update/+", "get"):
            server = Iot(lambda name, bad=culprit: name == BASE + bad).broker()  # type: ignore[misc]
            [found] = self.found(server)
            self.says(found, "failed", f" {BASE}{culprit} is refused", "closed the connection")

    def test_topics_of_a_job(self) -> None:
        [found] = self.found(Iot(lambda name: name.endswith("/update")).broker())
        self.says(found, "failed", f"iot:Publish {BASE}JOB/update", f"on topic/{BASE}*/update")

    def test_several(self) -> None:
        first, second = self.found(Iot(lambda name: name.endswith("/+")).broker())[:2]
        self.says(first, "failed", f"iot:Subscribe {BASE}get/+", f"on topicfilter/{BASE}get/+")
        self.says(second, "failed", f"iot:Subscribe {BASE}+/get/+")

    def test_reason_codes(self) -> None:
        first, second = self.found(five({f"{BASE}notify": 0x87, "update": 0x87}))
        self.says(first, "failed", f"iot:Subscribe {BASE}notify", "Not authorized")
        self.says(second, "failed", f"iot:Publish {BASE}JOB/update", "Not authorized")

    def test_no_subscriber_is_no_refusal(self) -> None:
        [found] = self.found(five({"update": 0x10, "get": 0x10}))
        self.says(found, "ok")

    def test_beside_an_agent_a_refusal_may_be_that_of_the_other_id(self) -> None:
        found = self.found(Iot(lambda name: name.endswith("notify")).broker(), agent="process 7")
        self.says(found[0], "warning", "Stop the agent")
        self.assertIn("upparat-doctor", self.examined.topics_refused)

    def test_what_is_known_already(self) -> None:
        [found] = examine(examination(topics_refused="the id is refused"))
        self.says(found, "skipped", "the id is refused")

    def test_a_broker_that_is_gone(self) -> None:
        [found] = self.found(Iot(lambda name: True).broker())
        self.says(found, "failed", "cannot be tried")

    def test_no_time_is_left(self) -> None:
        [found] = self.found(Iot().broker(), limits=replace(QUICK, total=0.0))
        self.says(found, "failed", "no time left")
        self.assertEqual(self.server.peers, [])

    def test_the_version_of_the_broker_is_remembered(self) -> None:
        self.found(Iot(lambda name: name.endswith("/+")).broker())
        versions = [level(peer.packets[0][1]) for peer in self.server.peers]
        self.assertEqual(versions, [5, 4, 4, 4, 4])
