"""The order of the steps: what is skipped, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

from tests.unit.doctor.bench import QUICK, DoctorBench, examination, levels
from upparat.config.ini import Problem
from upparat.doctor.examination import Examination
from upparat.doctor.finding import Finding, failed, ok, skipped, warning
from upparat.doctor.steps import STEPS, Step, run

Take = Callable[[Examination], Iterator[Finding]]


def saying(*findings: Finding) -> Take:
    return lambda _: iter(findings)


class StepTests(DoctorBench):
    def found(self, *steps: Step, **members: object) -> list[tuple[str, str]]:
        self.findings = list(run(examination(**members), steps))
        return levels(self.findings)

    def test_what_depends_on_a_failed_step_is_skipped(self) -> None:
        found = self.found(
            Step("a", saying(failed("a", "b", "c"))),
            Step("b", saying(ok("b", "b")), after=("a",)),
            Step("c", saying(ok("c", "b")), after=("b",)),
            Step("d", saying(ok("d", "b"))),
        )
        expected = [("a", "failed"), ("b", "skipped"), ("c", "skipped"), ("d", "ok")]
        self.assertEqual(found, expected)
        self.assertEqual({self.findings[1].meaning, self.findings[2].meaning}, {"a failed"})

    def test_a_finding_of_another_name_counts_for_its_step(self) -> None:
        first = Step("tls", saying(failed("certificate", "b", "c"), ok("tls", "d")))
        second = Step("mqtt", saying(ok("mqtt", "b")), after=("tls",))
        self.assertEqual(self.found(first, second)[-1], ("mqtt", "skipped"))

    def test_warnings_and_what_is_not_there_hold_nothing_up(self) -> None:
        for finding in (warning("a", "b", "c"), skipped("a", "not configured")):
            steps = (Step("a", saying(finding)), Step("b", saying(ok("b", "b")), after=("a",)))
            self.assertEqual(self.found(*steps)[-1], ("b", "ok"))

    def test_a_wrong_option_skips_what_needs_it(self) -> None:
        step = Step("a", saying(ok("a", "b")), options=("port",))
        for problem, level in (
            (Problem("broker", "port", "is wrong"), "skipped"),
            (Problem("broker", "prot", "unknown", unknown=True, meant="port"), "skipped"),
            (Problem("brokr", "", "unknown section", unknown=True, meant="broker"), "skipped"),
            (Problem("broker", "host", "is wrong"), "ok"),
            (Problem("service", "port", "is wrong"), "ok"),
            (Problem("other", "", "unknown section", unknown=True), "ok"),
        ):
            self.assertEqual(self.found(step, problems=[problem]), [("a", level)], problem)

    def test_a_file_that_cannot_be_read_leaves_one_step(self) -> None:
        found = list(run(examination(unreadable="/none: No such file")))
        self.assertEqual(levels(found)[0], ("configuration", "failed"))
        self.assertEqual({level for _, level in levels(found)[1:]}, {"skipped"})
        self.assertEqual([each.name for each in found], [step.name for step in STEPS])

    def test_an_examination_that_takes_too_long(self) -> None:
        late = replace(QUICK, total=0.0)
        self.assertEqual(self.found(Step("a", saying()), limits=late), [("a", "skipped")])
        self.assertIn("0 s are over", self.findings[0].meaning)

    def test_a_fault_is_a_finding_without_secrets(self) -> None:
        def broken(_: Examination) -> Iterator[Finding]:
            yield ok("a", "so far")
            raise RuntimeError("password=secret")

        self.assertEqual(self.found(Step("a", broken)), [("a", "ok"), ("a", "failed")])
        self.says(self.findings[1], "failed", "RuntimeError")
        self.assertNotIn("secret", str(self.findings[1]))

    def test_each_step_needs_only_earlier_ones(self) -> None:
        names = [step.name for step in STEPS]
        for index, step in enumerate(STEPS):
            self.assertLessEqual(set(step.after), set(names[:index]), step.name)
