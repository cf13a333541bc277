"""A machine that raises."""

from __future__ import annotations

from typing import Any, cast

from twisted.trial.unittest import SynchronousTestCase

from upparat.machine import Guard, Inputs


class Machine:
    def __init__(self) -> None:
        self.told: list[Any] = []

    def changed(self) -> None:
        self.told.append("changed")

    def describe_failed(self, job_id: str, ended: bool) -> None:
        raise RuntimeError(job_id)


class GuardTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.machine = Machine()
        self.broke: list[bool] = []
        self.guard = Guard(cast("Inputs", self.machine), lambda: self.broke.append(True))

    def test_inputs_pass(self) -> None:
        self.guard.inputs.changed()
        self.assertEqual((self.machine.told, self.guard.broken), (["changed"], False))
        self.assertEqual(self.broke, [])

    def test_an_error_is_logged_and_not_raised(self) -> None:
        self.guard.inputs.describe_failed("a", True)
        self.assertTrue(self.guard.broken)
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_a_broken_machine_is_told_nothing_more(self) -> None:
        self.guard.inputs.describe_failed("a", True)
        self.guard.inputs.describe_failed("a", True)
        self.guard.inputs.changed()
        self.assertEqual((self.machine.told, self.broke), ([], [True]))
        self.flushLoggedErrors(RuntimeError)

    def test_what_is_no_input(self) -> None:
        with self.assertRaises(AttributeError):
            _ = self.guard.nonsense
