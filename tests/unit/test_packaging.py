"""What packages hold beside the agent says what the agent does."""

from __future__ import annotations

import configparser
import re
import shutil
import subprocess
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from tests.oldest import SETUP, constraints
from tests.reference.__main__ import files, write
from tests.reference.completions import bash
from tests.reference.roff import page, prose
from tests.reference.verbs import arguments_of, verbs
from upparat.commands.main import VERBS
from upparat.config.options import options_of
from upparat.config.reader import survey
from upparat.config.settings import SECTIONS

ROOT = Path(__file__).parent.parent.parent
PACKAGING = ROOT / "packaging"


class OldestTests(SynchronousTestCase):
    def test_each_requirement_is_pinned_to_its_lower_bound(self) -> None:
        setup = "[options]\ninstall_requires =\n    A >= 1.5, < 2\n    b-c[tls] >= 24.11\n"
        self.assertEqual(list(constraints(setup)), ["A==1.5", "b-c==24.11"])

    def test_a_requirement_without_a_bound(self) -> None:
        setup = "[options]\ninstall_requires =\n    treq\n"
        error = self.assertRaises(ValueError, list, constraints(setup))
        self.assertEqual(str(error), "install_requires: 'treq' has no lower bound")

    def test_no_bound_is_newer_than_debian_13(self) -> None:
        debian = {
            "Automat": "25.4.16",
            "cryptography": "43",
            "paho-mqtt": "2.1",
            "sentry-sdk": "2.18",
            "treq": "24.9.1",
            "Twisted": "24.11",
        }
        oldest = dict(each.split("==") for each in constraints(SETUP.read_text()))
        self.assertEqual(oldest, debian)


class ManualTests(SynchronousTestCase):
    def test_the_command_has_each_verb_with_its_arguments(self) -> None:
        text = files()["share/man/man1/upparat.1"].replace("\\-", "-")
        for verb in verbs():
            self.assertIn(f'.SS "upparat {verb.name}"\n{verb.help}\n', text)
        self.assertIn("\\fB-k\\fR \\fIKEY\\fR", text.replace("\\fB--key\\fR, ", ""))

    def test_the_file_has_each_option(self) -> None:
        text = files()["share/man/man5/upparat.conf.5"]
        for name, section in SECTIONS.items():
            self.assertIn(f'.SH "[{name}]"\n', text)
            for option in options_of(section):
                self.assertIn(f".TP\n\\fB{option}\\fR\n", text)
        self.assertIn(
            "From a run that exits with 3 until the next run. 0 or more. Default: \\fB60\\fR", text
        )

    def test_no_markdown_is_left(self) -> None:
        text = files()["share/man/man5/upparat.conf.5"]
        self.assertEqual(re.findall(r"`|\*\*|\]\(", text), [])

    def test_nothing_begins_with_the_character_of_a_request(self) -> None:
        self.assertEqual(prose(".conf"), "\\&.conf")
        self.assertEqual(prose("it's\n`a-b` [x](y)"), "it\\(aqs \\fBa\\-b\\fR x")

    def test_a_page_with_what_has_no_rule(self) -> None:
        self.assertRaises(ValueError, page, "- list\n> quote\n")

    def test_man_reads_them(self) -> None:
        if shutil.which("groff") is None:
            self.skipTest("groff is not installed: apt-get install groff-base")
        for place, text in files().items():
            if "/man/" in place:
                command = ["groff", "-man", "-ww", "-Tutf8", "-z"]
                told = subprocess.run(
                    command, input=text, text=True, capture_output=True, check=True
                )
                self.assertEqual(told.stderr, "", place)


class CompletionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        write(self.directory)

    def complete(self, *words: str) -> set[str]:
        """What bash offers for the last of these words."""
        code = (
            '. "$0"; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _upparat; '
            'printf "%s\\n" "${COMPREPLY[@]}"'
        )
        script = self.directory / "share/bash-completion/completions/upparat"
        command = ["bash", "-euc", code, str(script), "upparat", *words]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        self.assertEqual(told.stderr, "")
        return set(told.stdout.split())

    def test_verbs(self) -> None:
        self.assertEqual(self.complete(""), set(VERBS))
        self.assertEqual(self.complete("che"), {"check", "check-now"})

    def test_arguments_of_each_verb(self) -> None:
        for verb in VERBS:
            flags = {flag for each in arguments_of(verb) for flag in each.flags}
            self.assertEqual(self.complete(verb, "-"), flags)
        self.assertIn("--thing-name", self.complete("--th"))

    def test_files(self) -> None:
        file = self.directory / "upparat.conf"
        file.touch()
        self.assertEqual(self.complete("check", "-c", f"{file}"), {str(file)})
        self.assertEqual(self.complete("sign", "--key", "k", f"{file}"), {str(file)})
        self.assertEqual(self.complete("check", "-t", f"{file}"), set())
        self.assertEqual(self.complete("status", f"{file}"), set())

    def test_other_shells_name_all_of_it(self) -> None:
        for place in ("zsh/vendor-completions/_upparat", "fish/vendor_completions.d/upparat.fish"):
            text = (self.directory / "share" / place).read_text()
            for verb in verbs():
                self.assertIn(verb.help, text)
                for flag in (flag for each in verb.arguments for flag in each.flags):
                    self.assertIn(flag.lstrip("-"), text)

    def test_other_shells_can_read_them(self) -> None:
        for shell, place in (
            ("zsh", "zsh/vendor-completions/_upparat"),
            ("fish", "fish/vendor_completions.d/upparat.fish"),
        ):
            if shutil.which(shell) is not None:
                command = [shell, "--no-exec", str(self.directory / "share" / place)]
                subprocess.run(command, check=True)

    def test_bash_is_the_text_that_is_written(self) -> None:
        script = self.directory / "share/bash-completion/completions/upparat"
        self.assertEqual(script.read_text(), bash(verbs()))


class ConfigurationTests(SynchronousTestCase):
    def parsed(self, text: str) -> configparser.ConfigParser:
        parser = configparser.ConfigParser(interpolation=None)
        parser.read_string(text)
        return parser

    def test_each_option_is_known(self) -> None:
        text = (PACKAGING / "upparat.conf").read_text()
        parser = self.parsed(re.sub(r"^#(\w+ =)", r"\1", text, flags=re.MULTILINE))
        for section in parser.sections():
            self.assertLessEqual(set(parser[section]), set(options_of(SECTIONS[section])))
            self.assertTrue(parser[section])

    def test_the_file_as_it_comes_has_no_problem_and_names_no_thing(self) -> None:
        text = (PACKAGING / "upparat.conf").read_text()
        file = Path(self.mktemp())
        state = str(file.absolute().with_suffix(".state"))
        file.write_text(text.replace("/var/lib/upparat", state))
        _, problems = survey(file)
        self.assertEqual(list(problems), [])
        self.assertFalse(self.parsed(text).has_option("broker", "thing_name"))


def unit(path: str) -> configparser.ConfigParser:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    parser.optionxform = str  # type: ignore[assignment, method-assign]
    parser.read_string((ROOT / path).read_text())
    return parser


class UnitTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.service = unit("packaging/debian/upparat.service")["Service"]

    def test_the_example_differs_in_paths_and_sandbox(self) -> None:
        example = unit("examples/upparat.service")
        packaged = unit("packaging/debian/upparat.service")
        sandbox = (
            "ExecStart|ExecCondition|.*Restrict.*|Protect.*|Private.*|SystemCall.*|LockPersonality|"
            "NoNewPrivileges|KeyringMode|CapabilityBoundingSet"
        )
        for parser in (example, packaged):
            parser["Unit"].pop("Documentation")
            for option in list(parser["Service"]):
                if re.fullmatch(sandbox, option):
                    del parser["Service"][option]
        self.assertEqual(
            {name: dict(example[name]) for name in example},
            {name: dict(packaged[name]) for name in packaged},
        )

    def test_systemd_finds_no_fault_and_a_small_exposure(self) -> None:
        if shutil.which("systemd-analyze") is None:
            self.skipTest("systemd-analyze is not installed: apt-get install systemd")
        text = (PACKAGING / "debian/upparat.service").read_text()
        file = Path(self.mktemp(), "upparat.service")
        file.parent.mkdir(parents=True)
        # Neither the agent nor its manual is installed here.
        text = re.sub("Documentation=.*", "", text).replace("/usr/bin/upparat", "/bin/true")
        file.write_text(text)
        for command in (
            ["verify", "--man=no", str(file)],
            ["security", "--offline=yes", "--threshold=39", "--no-pager", str(file)],
        ):
            ran = subprocess.run(
                ["systemd-analyze", *command], capture_output=True, text=True, check=False
            )
            self.assertEqual((ran.returncode, ran.stderr), (0, ""), ran.stdout)

    def test_each_line_of_the_sandbox_is_documented(self) -> None:
        page = (ROOT / "docs/hooks.md").read_text()
        documented = set(re.findall(r"`(\w+)`", "".join(re.findall(r"^\| `.*?\|", page, re.M))))
        lines = (PACKAGING / "debian/upparat.service").read_text().partition("# All that")[2]
        options = set(re.findall(r"^(\w+)=", lines.partition("[Install]")[0], re.MULTILINE))
        self.assertLessEqual(options - {"SystemCallErrorNumber"}, documented)

    def test_the_service_waits_for_a_thing(self) -> None:
        command, *flags, _, _ = self.service["ExecCondition"].split(maxsplit=3)
        pattern = re.search("'(.*)'", self.service["ExecCondition"])
        assert pattern is not None
        self.assertEqual(Path(command).name, "grep")
        text = (PACKAGING / "upparat.conf").read_text()
        for conf, status in (
            (text, 1),
            (text.replace("#thing_name = THING", "thing_name ="), 1),
            (text.replace("#thing_name", "thing_name"), 0),
            (text.replace("#thing_name =", "Thing_Name:"), 0),
        ):
            ran = subprocess.run(
                ["grep", *flags[:1], pattern[1]], input=conf, text=True, check=False
            )
            self.assertEqual(ran.returncode, status)
