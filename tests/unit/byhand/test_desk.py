"""Orders of people at the device."""

from __future__ import annotations

from typing import Any

from twisted.logger import capturedLogs

from tests.unit.byhand.bench import DOCUMENT, InstallBench
from upparat.byhand.desk import InstallDesk
from upparat.job import InvalidDocument, Report, State, parse_document
from upparat.log import format_event

ORDER = {name: each for name, each in DOCUMENT.items() if name != "file"}


class DeskTests(InstallBench):
    def setUp(self) -> None:
        super().setUp()
        self.desk = InstallDesk(self.jobs, self.admit, lambda: 1000.9)

    def admit(self, uid: int) -> None:
        if uid:
            raise PermissionError("no")

    def order(self, path: str = "/media/usb/my app", uid: int = 0, **changes: Any) -> str:
        return self.desk.install(path, 512, {**ORDER, **changes}, uid, 77)

    def test_an_order_becomes_an_execution(self) -> None:
        with capturedLogs() as logs:
            job_id = self.order(meta="secret")
        self.assertRegex(job_id, "^local@[0-9a-f]{8}$")
        install = self.spool.load()
        assert install is not None
        self.assertEqual(install.key, (job_id, 1, 1000))
        job = parse_document(install)
        self.assertEqual(job.file, "file:///media/usb/my%20app#512+8")
        [line] = [format_event(each) or "" for each in logs]
        told = "version '2.0' is to be installed from /media/usb/my app, by user 0, process 77"
        self.assertIn(f"{job_id}: {told}", line)
        self.assertNotIn("secret", line)
        self.assertEqual(self.heard(), ["changed"])

    def test_who_may_not(self) -> None:
        self.assertRaises(PermissionError, self.order, uid=1)
        self.assertEqual((self.spool.load(), self.heard()), (None, []))

    def test_one_at_a_time(self) -> None:
        job_id = self.order()
        error = self.assertRaises(RuntimeError, self.order)
        self.assertEqual(str(error), f"{job_id} is not over yet")

    def test_none_takes_the_place_of_one_that_is_tidied_up_after(self) -> None:
        self.order()
        install = self.spool.load()
        assert install is not None
        self.jobs.report(install, Report(State.COMPLETE_READY))
        error = self.assertRaises(RuntimeError, self.order)
        self.assertEqual(str(error), f"{install.job_id} is not over yet")
        self.jobs.fetch()  # as the machine does when the cleanup hook has ended
        second = self.order()
        self.jobs.fetch()
        self.assertEqual(self.heard()[-1], ("pending", [], [second]))

    def test_what_could_never_work(self) -> None:
        for changes, problem in (
            ({"path": "app"}, "path: must be an absolute path"),
            ({"path": "/a\0b"}, "path: must be an absolute path"),
            ({"action": "reboot"}, "action: must be 'upparat-update'"),
            ({"sha256": None}, "sha256, size: are missing"),
            ({"size": -1}, "sha256, size: are missing"),
        ):
            error = self.assertRaises(ValueError, self.order, **changes)
            self.assertEqual(str(error), problem)
        error = self.assertRaises(InvalidDocument, self.order, version="", force="x")
        self.assertEqual(
            str(error), "version: is empty; force: must be true or false, not a string"
        )
        self.assertEqual(self.spool.load(), None)

    def test_urls_are_left_out(self) -> None:
        self.order(delta="https://x/", log_url="https://x/")
        install = self.spool.load()
        assert install is not None
        assert isinstance(install.document, dict)
        self.assertEqual({"delta", "log_url"} & install.document.keys(), set())

    def test_a_disk_that_refuses(self) -> None:
        self.directory.touch()
        error = self.assertRaises(RuntimeError, self.order)
        self.assertIn("the order cannot be stored: ", str(error))
        self.assertEqual((self.jobs.in_hand_id(), self.heard()), (None, []))
