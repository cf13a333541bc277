"""The ``upparat-local`` command."""

from __future__ import annotations

import io
import sys
from typing import Any

from upparat.local import aws, cli, ministack
from upparat.local.device import Device
from upparat.publish.firmware import examine

from .bench import Base


class CommandLine(Base):
    def setUp(self) -> None:
        super().setUp()
        self.out, self.err = io.StringIO(), io.StringIO()
        self.patch(sys, "stdout", self.out)
        self.patch(sys, "stderr", self.err)

    def test_without_a_command_it_starts(self) -> None:
        started: list[Any] = []
        self.patch(cli, "start", lambda arguments: started.append(arguments) or 0)  # type: ignore[func-returns-value]
        self.assertEqual(cli.main([]), 0)
        self.assertEqual(cli.main(["here", "--thing", "t"]), 0)
        self.assertEqual(
            [(arguments.directory, arguments.thing) for arguments in started],
            [("upparat-local", "my-device"), ("here", "t")],
        )

    def test_help_tells_of_both_commands(self) -> None:
        self.assertRaises(SystemExit, cli.main, ["--help"])
        self.assertIn("start", self.out.getvalue())
        self.assertIn("job", self.out.getvalue())

    def test_a_job_needs_a_local_aws_that_runs(self) -> None:
        self.assertEqual(cli.main(["job", "-d", str(self.directory), "f", "1"]), 1)
        self.assertIn("start upparat-local", self.err.getvalue())

    def test_a_job_needs_a_file(self) -> None:
        self.patch(cli, "_connect", lambda _: (aws.Cloud("", 0), Device("t", self.directory)))
        missing = str(self.directory / "missing")
        self.assertEqual(cli.main(["job", missing, "1"]), 1)
        self.assertIn(f"{missing}: No such file", self.err.getvalue())

    def test_missing_packages_are_told(self) -> None:
        self.patch(aws, "find_spec", lambda _: None)
        self.assertEqual(cli.main([]), 1)
        self.assertIn("pip install 'upparat[local]'", self.err.getvalue())

    def test_the_document_of_a_job(self) -> None:
        file = self.directory / "f"
        file.write_bytes(b"content")
        firmware, place = examine(file), aws.Cloud("", 0).place("j/f")
        arguments = cli._parser().parse_args(["job", "f", "1.0", "--meta", "m", "--force"])
        self.assertEqual(
            cli._document(arguments, firmware, place),
            {
                "action": "upparat-update",
                "version": "1.0",
                "file": place.placeholder,
                "sha256": firmware.sha256,
                "size": 7,
                "force": True,
                "meta": "m",
            },
        )
        arguments = cli._parser().parse_args(["job", "f", "1.0"])
        self.assertNotIn("meta", cli._document(arguments, firmware, place))
        delta = aws.Cloud("", 0).place("j/f.zck")
        document = cli._document(arguments, firmware, place, delta)
        self.assertEqual(document["delta"], delta.placeholder)

    def test_a_dead_ministack_is_noticed(self) -> None:
        local = aws.LocalAws(self.directory)
        error = self.assertRaises(ministack.LocalAwsError, cli._wait, local)
        self.assertIn("ministack.log", str(error))
