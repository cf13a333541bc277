"""The configuration file: every problem, with what it means."""

from __future__ import annotations

from tests.unit.doctor.bench import DoctorBench, levels
from upparat.doctor.configuration import admit, examine
from upparat.doctor.finding import Finding


class ConfigurationTests(DoctorBench):
    def found(self, text: str) -> list[Finding]:
        self.file = self.directory / "upparat.conf"
        self.file.write_text(f"[service]\nstate_dir = {self.directory}\n{text}")
        self.admitted = admit(str(self.file))
        return list(examine(self.admitted))

    def test_a_good_file(self) -> None:
        [found] = self.found("")
        self.says(found, "ok", f"{self.file} has no problem")

    def test_the_defaults(self) -> None:
        [*_, found] = examine(admit(None))
        self.assertIn("no file; the defaults", str(found))

    def test_no_file(self) -> None:
        [found] = examine(admit(str(self.directory / "none")))
        self.says(found, "failed", "No such file", "does not start")

    def test_one_that_cannot_be_parsed(self) -> None:
        [found] = self.found("[broker\n")
        self.says(found, "failed", "does not start")
        self.assertTrue(self.admitted.unreadable)

    def test_each_problem_says_what_it_means(self) -> None:
        found = self.found(
            "log_level = LOUD\n[broker]\nport = x\npassword = secret\n[verify]\nrequire = all\n"
            "[hooks]\ninstall = /none\n"
        )
        self.assertEqual({name for name, _ in levels(found)}, {"configuration"})
        by_option = {str(each).split(": ")[1]: each for each in found}
        self.says(by_option["[service] log_level"], "warning", "starts all the same")
        self.says(by_option["[broker] port"], "failed", "does not start")
        self.says(by_option["[broker] password"], "failed", "does not start")
        self.says(by_option["[verify] require"], "failed", "every download fails")
        self.says(by_option["[hooks] install"], "failed", "each job that needs this hook fails")
        self.assertNotIn("secret", "".join(map(str, found)))

    def test_the_thing_and_the_url(self) -> None:
        self.found("")
        admitted = admit(str(self.file), "other", "https://files.example/a")
        self.assertEqual(admitted.settings.broker.thing_name, "other")
        self.assertEqual(admitted.url, "https://files.example/a")
