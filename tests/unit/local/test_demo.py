"""How the demonstration ends: well, with the logs, or by an interrupt."""

from __future__ import annotations

from upparat.job import Status
from upparat.local import demo, ministack, screen
from upparat.local.images import DemoImage

from .bench import Base, FakeStream, execution


class DemoRun(Base):
    def setUp(self) -> None:
        super().setUp()
        self.stream = FakeStream()
        self.demo = demo.Demo(self.directory, screen.Screen(self.stream), 10)

    def test_success(self) -> None:
        self.demo.run = lambda: None  # type: ignore[method-assign]
        self.demo.version = "2.0.0"
        self.assertEqual(demo._run(self.demo, 0.0), 0)
        self.assertIn("Version 2.0.0 is installed", self.stream.getvalue())

    def fail_with(self, error: BaseException) -> int:
        def run() -> None:
            raise error

        self.demo.run = run  # type: ignore[method-assign]
        return demo._run(self.demo, 0.0)

    def test_a_failure_shows_the_logs(self) -> None:
        self.demo.aws.log_file.parent.mkdir()
        self.demo.aws.log_file.write_text("stack's last words")
        self.demo.agent.log_file.parent.mkdir()
        self.demo.agent.log_file.write_text("agent's last words")
        self.assertEqual(self.fail_with(ValueError("no luck")), 1)
        shown = self.stream.getvalue()
        self.assertIn("stack's last words", shown)
        self.assertIn("agent's last words", shown)
        self.assertIn("failed: no luck", shown)

    def test_an_interrupt(self) -> None:
        self.assertEqual(self.fail_with(KeyboardInterrupt()), 130)

    def check(self, status: Status, installed: bytes) -> None:
        release = DemoImage("job", "2.0.0", self.directory / "wanted")
        release.file.write_bytes(b"wanted")
        self.demo.device.rootfs.mkdir(parents=True)
        self.demo.device.firmware.write_bytes(installed)
        self.demo._check(release, execution(status))

    def test_the_right_file_and_status_pass(self) -> None:
        self.check(Status.SUCCEEDED, b"wanted")

    def test_another_status_is_a_failure(self) -> None:
        error = self.assertRaises(ministack.LocalAwsError, self.check, Status.REJECTED, b"wanted")
        self.assertIn("REJECTED", str(error))

    def test_another_file_is_a_failure(self) -> None:
        self.assertRaises(ministack.LocalAwsError, self.check, Status.SUCCEEDED, b"other")

    def test_what_the_second_update_has_cost(self) -> None:
        release = DemoImage("job", "2.1.0", self.directory / "image")
        self.demo.agent.log_file.parent.mkdir()
        self.demo.agent.log_file.write_text(
            "x job: the delta took 39600000 of 40000000 bytes from seeds, and fetched 500000\n"
        )
        self.assertEqual(
            self.demo._saved(release), "The second update fetched 0.5 of 40.0 MB: 1.2 %"
        )
        self.demo.agent.log_file.write_text("job: the delta is not used: no\n")
        self.assertRaises(ministack.LocalAwsError, self.demo._saved, release)

    def test_without_zck_there_is_one_update(self) -> None:
        self.patch(demo, "can_make", lambda: False)
        updates: list[tuple[str, bool]] = []

        def install(release: DemoImage, *, delta: bool) -> None:
            updates.append((release.version, delta))

        self.demo._install = install  # type: ignore[method-assign]
        self.demo._updates()
        self.assertEqual(updates, [("2.0.0", False)])
        self.assertIn("is left out: the program zck is missing; Debian", self.stream.getvalue())

    def test_a_bad_exit_status_of_the_agent_is_a_failure(self) -> None:
        self.demo.agent.stop = lambda: 1  # type: ignore[method-assign]
        self.assertRaises(ministack.LocalAwsError, self.demo._stop_agent)
