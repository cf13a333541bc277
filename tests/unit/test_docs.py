"""The documentation says what the code does, and its examples work."""

from __future__ import annotations

import configparser
import json
import re
import runpy
import shutil
from collections.abc import Iterator
from pathlib import Path

from botocore import xform_name
from botocore.loaders import Loader
from botocore.model import ServiceModel
from twisted.trial.unittest import SynchronousTestCase

from tests.options import written
from tests.support.certs import Authority
from upparat.config import reader as config
from upparat.config.options import options_of
from upparat.config.settings import SECTIONS, Settings
from upparat.iotjobs.wire import addressable
from upparat.job import (
    ACTION,
    NO_MESSAGE,
    ExecutionKey,
    Hook,
    JobExecution,
    State,
    Status,
    parse_document,
)

ROOT = Path(__file__).parent.parent.parent
DOCS = (
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").glob("*.md")),
    ROOT / "examples/README.md",
    ROOT / "tests/simulator/README.md",
)
PLACEHOLDER = re.compile(r"\$\{aws:iot:s3-presigned-url:([^}]*)\}")

SIGNATURE = re.compile(r"\$\{aws:iot:code-sign-signature:s3://[^}]*@[^}]*\}")


OTHERWISE = ("thing_name", "clock_patience", "timezone")
"""Options whose default is written in another way than their value."""


def read(path: str | Path) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def blocks(language: str) -> Iterator[tuple[str, str]]:
    """The fenced blocks of a language, each with the name of its file."""
    for path in DOCS:
        for block in re.findall(
            rf"^```{language}\n(.*?)^```$", read(path), re.DOTALL | re.MULTILINE
        ):
            yield path.name, block


def rows(text: str) -> Iterator[tuple[str, list[str]]]:
    """The rows of all tables below headings, their cells without backquotes, by heading."""
    heading = ""
    for line in text.splitlines():
        if line.startswith("#"):
            heading = line.lstrip("# ")
        elif re.match(r"\| `", line):
            yield heading, [cell.strip().strip("`") for cell in line.strip("|").split("|")]


def known_options() -> dict[str, set[str]]:
    return {name: set(options_of(section)) for name, section in SECTIONS.items()}


def documented_options() -> dict[str, dict[str, list[str]]]:
    found: dict[str, dict[str, list[str]]] = {}
    for heading, cells in rows(read("docs/configuration.md")):
        found.setdefault(heading.strip("[]"), {})[cells[0]] = cells[1:]
    return found


class WhichHookWhen(SynchronousTestCase):
    """The picture of the hooks is drawn by hand."""

    def test_each_hook_is_in_it(self) -> None:
        labels = set(re.findall(r"\[label=\"(\w+)\"", read("docs/which-hook.dot")))
        self.assertEqual({hook.value for hook in Hook} - labels, set())

    def test_it_names_real_states(self) -> None:
        named = set(re.findall(r"\b[a-z]+(?:_[a-z]+)+\b", read("docs/which-hook.dot")))
        nodes = {"restart_back", "version_back", "version_after"}
        self.assertEqual(named - nodes - {state.value for state in State}, set())

    def test_it_was_drawn(self) -> None:
        drawn = read("docs/which-hook.svg").replace("&#39;", "'")
        for label in re.findall(r"label=\" ?([^\\\"]+)", read("docs/which-hook.dot")):
            self.assertIn(label.strip(), drawn)


class Readme(SynchronousTestCase):
    """A newcomer's map is whole."""

    text = read("README.md")

    def test_each_wing_has_its_row(self) -> None:
        named = re.findall(r"`upparat/(\w+)/`", self.text)
        wings = {path.parent.name for path in ROOT.glob("upparat/*/__init__.py")}
        self.assertEqual(sorted(named), sorted(wings))

    def test_each_hook_has_its_row(self) -> None:
        self.assertEqual(set(re.findall(r"^\| `(\w+)` \|", self.text, re.MULTILINE)), set(Hook))

    def test_each_section_of_the_configuration_is_named(self) -> None:
        for section in SECTIONS:
            self.assertIn(f"[{section}]", self.text)


class Configuration(SynchronousTestCase):
    def test_every_option_is_documented_and_no_other(self) -> None:
        documented = {section: set(options) for section, options in documented_options().items()}
        self.assertEqual(documented, known_options())

    def test_the_tables_are_those_of_the_settings(self) -> None:
        page = read("docs/configuration.md")
        self.assertEqual(written(page), page, "Run python -m tests.options --write")
        stale = page.replace("The port of the broker", "A port").replace("| `host`", "| `hosts`")
        self.assertNotEqual(stale, page)
        rows = written(stale)
        self.assertEqual(sorted(rows.splitlines()), sorted(page.splitlines()))

    def test_every_option_has_a_line_of_its_own(self) -> None:
        told = [each.meaning for kind in SECTIONS.values() for each in options_of(kind).values()]
        for meaning in told:
            self.assertTrue(meaning.endswith("."), meaning)
            self.assertLess(len(meaning), 100)
        self.assertGreater(len(told), 40)

    def test_defaults(self) -> None:
        settings, told = Settings(), documented_options()
        compared = 0
        for section, options in told.items():
            for name, (default, *_) in options.items():
                value = getattr(getattr(settings, section), name, None)
                if isinstance(value, bool):
                    value = "yes" if value else "no"
                if isinstance(value, int | float | str) and name not in OTHERWISE:
                    text = value if isinstance(value, str) else f"{value:g}"
                    self.assertEqual(default, text, f"[{section}] {name}")
                    compared += 1
        self.assertGreater(compared, 20)
        self.assertEqual(told["hooks"]["timeout"][0], f"{min(settings.hooks.timeouts.values()):g}")

    def test_every_option_is_written_with_its_unit(self) -> None:
        for section, options in documented_options().items():
            for name, (default, unit, _) in options.items():
                number = default.isdecimal() and name != "port"
                self.assertEqual(bool(unit), bool(number or name.startswith("timeout")), section)

    def test_new_options_are_in_the_change_log(self) -> None:
        text = read("CHANGELOG.md")
        for name in ("state_dir", "restart_grace", "kill_on_cancel", "poll_interval"):
            self.assertIn(f"`{name}`", text)


class ConfigSnippets(SynchronousTestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        shutil.copytree(ROOT / "examples/hooks", self.directory / "hooks")
        authority = Authority()
        authority.write(self.directory / "AmazonRootCA1.pem")
        certificate, _ = authority.issue(self.directory, "device")
        Path(certificate).rename(self.directory / "device.crt")
        shutil.copy(self.directory / "device.crt", self.directory / "firmware.pem")

    def test_each_loads(self) -> None:
        snippets = list(blocks("ini"))
        self.assertGreaterEqual(sum("[hooks]" in snippet for _, snippet in snippets), 2)
        for name, snippet in snippets:
            file = self.directory / "upparat.conf"
            text = snippet
            for place in ("/etc/upparat", "/var/lib/upparat"):
                text = text.replace(place, str(self.directory))
            file.write_text(text)
            loaded = bool(config.load(file).hooks.commands)
            self.assertEqual(loaded, "[hooks]" in snippet, name)


class Fleet(SynchronousTestCase):
    """The commands of docs/fleet.md, which need an account and are not run."""

    def setUp(self) -> None:
        page = read("docs/fleet.md").replace("\\\n", "")
        self.commands = re.findall(r"\baws iot ([\w-]+)(.*)", page)

    def test_aws_has_each_command_with_its_options(self) -> None:
        model = ServiceModel(Loader().load_service_model("iot", "service-2"))
        known = {xform_name(name, "-"): name for name in model.operation_names}
        self.assertGreater(len(self.commands), 6)
        for command, rest in self.commands:
            members = model.operation_model(known[command]).input_shape.members
            options = {xform_name(name, "-") for name in members}
            self.assertEqual(set(re.findall(r"--([\w-]+)", rest)) - options, set(), command)

    def test_ids_of_jobs(self) -> None:
        ids = re.findall(r"--job-id (\S+)", read("docs/fleet.md"))
        self.assertTrue(ids)
        for job_id in ids:
            self.assertTrue(addressable(job_id), job_id)


class Jobs(SynchronousTestCase):
    def setUp(self) -> None:
        self.states = {
            cells[0]: (heading, cells[1])
            for heading, cells in rows(read("docs/jobs.md"))
            if heading in set(Status)
        }

    def test_every_state_is_documented_with_its_status_and_no_other(self) -> None:
        documented = {state: status for state, (status, _) in self.states.items()}
        self.assertEqual(documented, {state.value: state.status.value for state in State})

    def test_a_state_that_succeeds_has_nothing_to_say(self) -> None:
        for state, (status, message) in self.states.items():
            if status == Status.SUCCEEDED:
                self.assertEqual(message, NO_MESSAGE, state)

    def test_new_states_are_in_the_change_log(self) -> None:
        for state in (State.INVALID_JOB_DOCUMENT, State.DOWNLOAD_FAILED, State.VERIFICATION_FAILED):
            self.assertIn(f"`{state.value}`", read("CHANGELOG.md"))

    def test_documents_parse(self) -> None:
        documents = [json.loads(block) for _, block in blocks("json")]
        ours = [document for document in documents if document.get("action") == ACTION]
        self.assertTrue(ours)
        for document in ours:
            document["file"] = PLACEHOLDER.sub(r"\1", document["file"])
            if "signature" in document:
                document["signature"] = SIGNATURE.sub("AAAA", document["signature"])
            execution = JobExecution(ExecutionKey("job", 1, 0), Status.QUEUED, 1, document=document)
            self.assertEqual(parse_document(execution).version, document["version"])

    def test_every_key_of_a_document_is_documented(self) -> None:
        source = read("upparat/job.py")
        keys = set(re.findall(r'(?:text|url|flag|document\.get|digest|_optional)\("(\w+)"', source))
        keys |= set(re.findall(r'_extra_url\(execution, "(\w+)"', source))
        documented = {
            cells[0]
            for heading, cells in rows(read("docs/jobs.md"))
            if heading == "The job document"
        }
        self.assertEqual(documented, keys)


def anchors(text: str) -> set[str]:
    """The anchors of the headings, as GitHub names them."""
    headings = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```$", "", text, flags=re.S | re.M), re.M)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


class Links(SynchronousTestCase):
    def setUp(self) -> None:
        self.links = [
            (path, *target.partition("#")[::2])
            for path in DOCS
            for target in re.findall(r"\]\(([^)\s]+)\)", read(path))
            if not re.match(r"https?:", target)
        ]

    def test_relative_ones_resolve(self) -> None:
        self.assertGreater(len(self.links), 50)
        for path, place, _ in self.links:
            self.assertTrue((path.parent / place).is_file() or not place, f"{path.name}: {place}")

    def test_anchors_exist(self) -> None:
        checked = 0
        for path, place, anchor in self.links:
            if anchor:
                checked += 1
                target = path.parent / place if place else path
                self.assertIn(anchor, anchors(read(target)), f"{path.name}: {place}#{anchor}")
        self.assertGreater(checked, 10)

    def test_paths_of_the_tree_exist(self) -> None:
        roots = "upparat|twisted|tests|benchmarks|examples|docs|\\.ci"
        for path in DOCS:
            # upparat/.state is the default of an option.
            for place in set(re.findall(rf"`((?:{roots})/[\w./]*)`", read(path))) - {
                "upparat/.state"
            }:
                self.assertTrue((ROOT / place).exists(), f"{path.name}: {place}")

    def test_examples_in_commands_exist(self) -> None:
        for name, block in blocks("sh"):
            for place in re.findall(r"\bexamples/[\w./-]*\w", block):
                self.assertTrue((ROOT / place).exists(), f"{name}: {place}")


class Commands(SynchronousTestCase):
    def test_make_targets_exist(self) -> None:
        targets = set(re.findall(r"^([a-z]+):", read("Makefile"), re.MULTILINE))
        text = "\n".join(read(path) for path in DOCS)
        named = set(re.findall(r"(?:^|`|=[0-9]+ )make ([a-z]+)", text, re.MULTILINE))
        self.assertLessEqual(named, targets)
        self.assertEqual(targets - named, set())

    def test_programs_are_those_that_are_installed(self) -> None:
        scripts = configparser.ConfigParser()
        scripts.read(ROOT / "setup.cfg")
        installed = re.findall(
            r"^(\S+) =", scripts["options.entry_points"]["console_scripts"], re.M
        )
        text = "\n".join(block for _, block in blocks("sh"))
        named = set(re.findall(r"(?:^|/bin/)(upparat[a-z-]*)(?= |$)", text, re.MULTILINE))
        self.assertEqual(named, set(installed))
        in_bin = set(re.findall(r"/bin/(\S+)", text)) - {"activate"}
        self.assertLessEqual(in_bin, {"pip", "pre-commit", "sh", "twistd", *installed})


class Site(SynchronousTestCase):
    """What `make docs` needs, as far as it can be known without Sphinx."""

    def test_every_page_is_in_the_navigation(self) -> None:
        site = runpy.run_path(str(ROOT / "docs/conf.py"))
        named = [page for pages in site["NAVIGATION"].values() for page in pages]
        pages = [str(path.relative_to(ROOT).with_suffix("")) for path in DOCS]
        self.assertEqual(sorted([*named, site["root_doc"]]), sorted(pages))

    def test_the_tour_is_the_tutorials(self) -> None:
        [tour] = re.findall(r"^## A tour\n(.*?)^## ", read("README.md"), re.DOTALL | re.MULTILINE)
        commands = re.findall(r"^```sh\n.*?^```$", tour, re.DOTALL | re.MULTILINE)
        self.assertEqual(len(commands), 4)
        for command in commands:
            self.assertIn(command, read("docs/tutorial.md"))
