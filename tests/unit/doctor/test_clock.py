"""The clock and the time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from tests.unit.doctor.bench import NOW, DoctorBench, examination
from upparat.doctor.clock import compare, examine, judge_zone


class ClockTests(DoctorBench):
    def test_a_device_without_a_battery(self) -> None:
        [found] = examine(examination(now=lambda: datetime(1970, 1, 1, tzinfo=UTC)))
        self.says(found, "failed", "1970-01-01", "NTP")

    def test_a_clock_that_can_be_right(self) -> None:
        [found] = examine(examination())
        self.says(found, "ok", "2027-01-01 12:30 UTC")

    def test_no_server_has_told_the_time(self) -> None:
        [found] = compare(examination())
        self.says(found, "skipped")

    def test_a_server_that_agrees(self) -> None:
        [found] = compare(examination(server_time=NOW + timedelta(minutes=4)))
        self.says(found, "ok")

    def test_a_server_that_does_not(self) -> None:
        for skew, shown in ((timedelta(minutes=-6), "6 minutes"), (timedelta(days=9), "9 days")):
            [found] = compare(examination(server_time=NOW + skew))
            self.says(found, "warning", shown)


class ZoneTests(DoctorBench):
    def test_the_environment(self) -> None:
        self.says(judge_zone({"TZ": ":Etc/UTC"}, self.directory), "ok", "Etc/UTC")
        self.says(judge_zone({"TZ": "CET-1CEST"}, self.directory), "ok", "CET-1CEST")
        for name in ("Mars/Olympus", "../../etc/passwd"):
            self.says(judge_zone({"TZ": name}, self.directory), "warning", name)

    def test_the_systems_file(self) -> None:
        file = self.directory / "zoneinfo" / "Etc" / "GMT"
        file.parent.mkdir(parents=True)
        file.write_bytes(b"TZif2")
        link = self.directory / "localtime"
        link.symlink_to(file)
        self.says(judge_zone({}, link), "ok", "Etc/GMT")
        copy = self.directory / "copy"
        copy.write_bytes(b"TZif2")
        self.says(judge_zone({}, copy), "ok", "as ")

    def test_none(self) -> None:
        self.says(judge_zone({}, self.directory / "none"), "ok", "UTC")

    def test_one_that_cannot_be_read(self) -> None:
        link = self.directory / "localtime"
        link.symlink_to(self.directory / "missing")
        self.says(judge_zone({}, link), "warning", "cannot be read")
        text = self.directory / "text"
        text.write_text("Europe/Zurich\n")
        self.says(judge_zone({}, text), "warning", "no time zone")
