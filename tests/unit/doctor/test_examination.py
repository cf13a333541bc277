"""The facts of an examination: client id, and time that is left."""

from __future__ import annotations

from dataclasses import replace

from tests.unit.doctor.bench import QUICK, DoctorBench, examination
from upparat.config.settings import BrokerSettings


class ExaminationTests(DoctorBench):
    def test_the_client_id_is_the_agents_unless_it_runs(self) -> None:
        self.assertEqual(examination().client_id, "upparat")
        self.assertEqual(examination(agent="process 1").client_id, "upparat-doctor")

    def test_a_long_client_id_makes_room(self) -> None:
        broker = BrokerSettings(client_id="ü" * 64)
        found = examination(agent="process 1", broker=broker).client_id
        self.assertTrue(found.endswith("ü-doctor"))
        self.assertLessEqual(len(found.encode()), 128)

    def test_a_wait_ends_with_the_examination(self) -> None:
        self.assertEqual(examination().seconds(2.0), 2.0)
        late = examination(limits=replace(QUICK, total=0.0))
        self.assertEqual(late.seconds(2.0), 0.1)
        self.assertLessEqual(late.left, 0)
