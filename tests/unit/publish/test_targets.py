"""Things and groups: their names, and their ARNs."""

from __future__ import annotations

from upparat.publish.request import BadArgument
from upparat.publish.targets import Account, Target, TargetKind, account_of, targets

from .bench import ACCOUNT, GROUP, MODEL, ROLE, THING, PublishBench


class TargetsTests(PublishBench):
    def problem(self, *arguments: object) -> str:
        error = self.assertRaises(BadArgument, targets, *arguments)
        self.assertEqual(error.status, 2)
        return str(error)

    def test_each_once_and_in_order(self) -> None:
        file = self.directory / "things"
        file.write_text("\ufeff# the lab\n\nthing-2\n thing-1 \r\n")
        found = targets(["thing-1", "thing-1"], ["fleet"], file)
        kinds = [(target.kind, target.name) for target in found]
        self.assertEqual(
            kinds,
            [
                (TargetKind.THING, "thing-1"),
                (TargetKind.GROUP, "fleet"),
                (TargetKind.THING, "thing-2"),
            ],
        )

    def test_a_thing_and_a_group_may_have_one_name(self) -> None:
        self.assertEqual(len(targets(["a"], ["a"], None)), 2)

    def test_names_that_aws_does_not_admit(self) -> None:
        wrong = " is not 1 to 128 characters of a-z A-Z 0-9 : _ -"
        for name in ("", "a b", "a/b", "é", "x" * 129):
            self.assertEqual(self.problem([name], [], None), f"--thing: {name!r}{wrong}")
            self.assertEqual(self.problem([], [name], None), f"--group: {name!r}{wrong}")
        file = self.directory / "things"
        file.write_text("good\nnot good\n")
        self.assertEqual(self.problem([], [], file), f"--things-from {file}:2: 'not good'{wrong}")

    def test_no_target_and_too_many(self) -> None:
        self.assertIn("name a target", self.problem([], [], None))
        file = self.directory / "things"
        file.write_text("# nobody\n")
        self.assertIn("name a target", self.problem([], [], file))
        file.write_text("".join(f"t{number}\n" for number in range(101)))
        self.assertIn(f"--things-from {file}:101: 101 targets, AWS", self.problem([], [], file))
        file.write_text("".join(f"t{number}\n" for number in range(100)))
        self.assertEqual(len(targets([], [], file)), 100)

    def test_a_file_that_cannot_be_read(self) -> None:
        missing = self.directory / "missing"
        told = self.problem([], [], missing)
        self.assertEqual(told, f"--things-from: {missing}: No such file or directory")
        binary = self.file(b"\xff\xfe\x00")
        self.assertEqual(
            self.problem([], [], binary), f"--things-from: {binary} is no text in UTF-8"
        )

    def test_arns(self) -> None:
        self.assertEqual(
            ACCOUNT.arn(THING, "eu-west-1"), "arn:aws:iot:eu-west-1:123456789012:thing/thing-1"
        )
        self.assertEqual(
            Account("aws-cn", "1").arn(GROUP, "cn-north-1"),
            "arn:aws-cn:iot:cn-north-1:1:thinggroup/fleet",
        )

    def test_requests_are_those_of_the_model(self) -> None:
        for target in (THING, GROUP):
            MODEL.check(target.look_up)
            self.assertEqual(list(target.look_up.parameters.values()), [target.name])

    def test_the_account_of_a_role(self) -> None:
        self.assertEqual(account_of(ROLE), ACCOUNT)
        china = account_of("arn:aws-cn:iam::000000000000:role/path/of/role")
        self.assertEqual(china, Account("aws-cn", "000000000000"))
        for role in ("", "download", "arn:aws:iam::1:role/x", "arn:aws:iam::123456789012:user/x"):
            error = self.assertRaises(BadArgument, account_of, role)
            self.assertTrue(str(error).startswith(f"--role-arn: {role!r} is not like"))

    def test_options_are_kept_for_messages(self) -> None:
        [target] = targets(["a"], [], None)
        self.assertEqual(target, Target(TargetKind.THING, "a", "--thing"))
