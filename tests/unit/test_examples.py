"""Everything in ``examples/`` that can be read without a broker."""

from __future__ import annotations

import configparser
import json
import re
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import yaml
from twisted.trial.unittest import SynchronousTestCase

from tests.support.certs import Authority
from upparat.config import reader as config
from upparat.config.settings import Settings
from upparat.inventory.package import attributes_of
from upparat.inventory.shadow import response_topics, update_topic
from upparat.iotjobs.wire import Topics
from upparat.job import (
    ACTION,
    ExecutionKey,
    Hook,
    InvalidDocument,
    JobExecution,
    Status,
    parse_document,
)
from upparat.local import policies
from upparat.local.device import HOOKS as LOCAL_HOOKS
from upparat.local.device import Device
from upparat.policy.rules import StepRule
from upparat.version import older

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
CONFIGS = ("aws.conf", "bridge.conf", "local.conf")
HOOKS = sorted((EXAMPLES / "hooks").iterdir())
INSTALLERS = sorted(
    path
    for name in ("application", "rauc", "swupdate")
    for path in (EXAMPLES / name).iterdir()
    if not path.suffix
)
PACKAGED_HOOKS = sorted((Path(policies.__file__).parent / "hooks").iterdir())


def read(name: str) -> str:
    return (EXAMPLES / name).read_text(encoding="utf-8")


class Configs(SynchronousTestCase):
    def setUp(self) -> None:
        directory = tempfile.TemporaryDirectory()  # its path is short enough for a socket
        self.addCleanup(directory.cleanup)
        self.directory = Path(directory.name)
        shutil.copytree(EXAMPLES / "hooks", self.directory / "hooks")
        authority = Authority()
        for name in ("AmazonRootCA1.pem", "ca.pem"):
            authority.write(self.directory / name)
        certificate, _ = authority.issue(self.directory, "device")
        Path(certificate).rename(self.directory / "device.crt")

    def load(self, name: str) -> Settings:
        text = read(name).replace("PORT", "8883").replace("USER", "root").replace("GROUP", "root")
        for place in ("/etc/upparat", "/var/lib/upparat", "upparat-local/device"):
            text = text.replace(place, str(self.directory))
        file = self.directory / Path(name).name
        file.write_text(text)
        return config.load(file)

    def test_every_one_is_accepted_and_has_all_hooks(self) -> None:
        for name in CONFIGS:
            settings = self.load(name)
            self.assertLessEqual(set(LOCAL_HOOKS), set(settings.hooks.commands), name)
            self.assertEqual(settings.service.log_level, "INFO", name)

    def test_consent_is_that_of_the_page(self) -> None:
        policy = self.load("consent/consent.conf").policy
        self.assertEqual((policy.install, policy.restart), (StepRule.ASK_OR_WINDOW,) * 2)
        self.assertEqual((policy.users, policy.deadline), ((0,), 7 * 86_400))

    def test_aws_is_reached_as_the_policy_wants_it(
        self,
    ) -> None:
        broker = self.load("aws.conf").broker
        self.assertTrue(broker.tls)
        self.assertEqual(broker.port, 443)
        self.assertEqual(broker.client_id, broker.thing_name)
        self.assertFalse(self.load("aws.conf").download.allow_http)

    def test_the_bridge_is_on_the_device(self) -> None:
        settings = self.load("bridge.conf")
        self.assertFalse(settings.broker.tls)
        self.assertEqual((settings.broker.host, settings.broker.port), ("127.0.0.1", 1883))
        self.assertFalse(settings.download.allow_http)

    def test_the_local_one_is_what_upparat_local_writes(self) -> None:
        device = Device("my-device", self.directory)
        device.write_hooks()
        device.write_config(8883)
        self.assertEqual(config.load(device.config_file), self.load("local.conf"))

    def test_what_is_to_be_replaced_is_in_capitals(self) -> None:
        for name in (*CONFIGS, "mosquitto-bridge.conf", "job.json", "iot-policy.json"):
            self.assertRegex(read(name), r"\b(THING|PORT|REGION|VERSION)\b")


class Hooks(SynchronousTestCase):
    def test_there_is_one_for_each(self) -> None:
        for hooks, wanted in ((HOOKS, set(Hook)), (PACKAGED_HOOKS, set(LOCAL_HOOKS))):
            self.assertEqual(wanted - {path.name for path in hooks}, set())

    def test_every_one_is_an_executable_shell_script(self) -> None:
        for path in (*HOOKS, *PACKAGED_HOOKS, *INSTALLERS):
            self.assertTrue(path.stat().st_mode & stat.S_IXUSR, path)
            self.assertTrue(path.read_text().startswith("#!/bin/sh\n"), path)
            checked = subprocess.run(["sh", "-n", path], capture_output=True, check=False)
            self.assertEqual((checked.returncode, checked.stderr), (0, b""), path)


class Readme(SynchronousTestCase):
    def test_it_names_each_file(self) -> None:
        text = read("README.md")
        files = [path for path in EXAMPLES.glob("*/*") if path.is_file()]
        for path in files:
            self.assertIn(f"]({path.relative_to(EXAMPLES)})", text)


class HookRuns(SynchronousTestCase):
    """The hooks for a device with two slots, on files instead of partitions."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        for slot in ("rootfs-a", "rootfs-b"):
            (self.directory / slot).write_bytes(b"old" * 1000)
        self.file = self.directory / "file"
        self.file.write_bytes(b"new" * 100)
        self.tools = self.directory / "bin"
        self.tools.mkdir()
        self.tool("fw_setenv", f'echo "fw_setenv $*" >>{self.directory}/calls')
        self.tool("systemctl", f'echo "systemctl $*" >>{self.directory}/calls; echo $SYSTEM')

    def tool(self, name: str, script: str) -> None:
        path = self.tools / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    def run_hook(
        self, name: str, *arguments: object, stdin: str = "", **environment: object
    ) -> subprocess.CompletedProcess[str]:
        facts = {
            "PATH": f"{self.tools}:/usr/bin:/bin:/usr/sbin:/sbin",
            "UPPARAT_VERSION": "2",
            "SLOTS": self.directory,
            "RUNNING": self.directory / "rootfs-a",
            "NEXT_SLOT": self.directory / "next-slot",
            "BUSY_FILE": self.directory / "busy",
            "DOWNLOADS": self.directory,
            "OS_RELEASE": self.directory / "os-release",
        }
        return subprocess.run(
            [EXAMPLES / "hooks" / name, *map(str, arguments)],
            env={key: str(value) for key, value in (facts | environment).items()},
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )

    def calls(self) -> list[str]:
        return (self.directory / "calls").read_text().splitlines()

    def test_version(self) -> None:
        self.assertNotEqual(self.run_hook("version").returncode, 0)
        (self.directory / "os-release").write_text("ID=x\nIMAGE_VERSION=1.2\n")
        self.assertEqual(self.run_hook("version", 0, 0, "").stdout, "1.2\n")

    def test_version_dpkg(self) -> None:
        for known, told in (
            ("installed 1.2-3", "1.2-3"),
            ("half-configured 1.2-3", "1.2-3~halfconfigured"),
            ("config-files 1.2-3", "1.2-3~configfiles"),
            ("not-installed ", "0~notinstalled"),
        ):
            self.tool("dpkg-query", f'for last; do :; done; [ "$last" = some ] && echo "{known}"')
            self.assertEqual(self.run_hook("version-dpkg", "some", 0, 0, "").stdout, f"{told}\n")
        self.tool("dpkg-query", "exit 1")
        unknown = self.run_hook("version-dpkg", "some", 0, 0, "")
        self.assertEqual((unknown.returncode, unknown.stdout), (0, "0~notinstalled\n"))

    def test_half_a_package_is_older_than_the_whole(self) -> None:
        self.assertTrue(older("1.2-3~halfconfigured", "1.2-3"))
        self.assertTrue(older("0~notinstalled", "0"))

    def test_install_dpkg_goes_on_where_an_older_version_cannot_be_finished(self) -> None:
        calls = self.directory / "calls"
        self.tool("dpkg", f'echo "dpkg $*" >>{calls}; [ "$1" != --configure ]')
        ended = self.run_hook("install-dpkg", 0, 0, "", "f.deb", DPKG_LOCK=self.directory / "lock")
        self.assertEqual(ended.returncode, 0)
        self.assertEqual(
            self.calls(), ["dpkg --configure --pending", "dpkg --install --force-confold f.deb"]
        )

    def test_download_waits_for_the_user_and_needs_room(self) -> None:
        self.assertEqual(self.run_hook("download", 0, 0, "", NEEDED_KB=1).returncode, 0)
        self.assertEqual(self.run_hook("download", 0, 0, "", NEEDED_KB=10**12).returncode, 1)
        (self.directory / "busy").touch()
        self.assertEqual(self.run_hook("download", 7, 0, "", NEEDED_KB=1).returncode, 3)

    def test_install_writes_the_other_slot(self) -> None:
        ran = self.run_hook("install", 0, 0, "", self.file)
        self.assertEqual((ran.returncode, ran.stderr), (0, ""))
        self.assertTrue(
            (self.directory / "rootfs-b").read_bytes().startswith(b"new" * 100 + b"old")
        )
        self.assertEqual((self.directory / "rootfs-a").read_bytes(), b"old" * 1000)
        self.assertEqual((self.directory / "next-slot").read_text(), "rootfs-b\n")
        self.assertEqual(self.run_hook("install", 0, 0, "", self.file).stdout, ran.stdout)

    def test_rollback_before_the_restart(self) -> None:
        self.tool("fw_printenv", "echo rootfs-a")
        ran = self.run_hook("rollback", 0, 0, "", "installation_hook_failed")
        self.assertEqual((ran.returncode, ran.stdout), (0, "rootfs-a was never left\n"))
        self.assertEqual(self.calls(), ["fw_setenv try_slot"])

    def test_rollback_after_the_restart(self) -> None:
        self.tool("fw_printenv", "echo rootfs-a")
        self.tool("findmnt", f"echo {self.directory}/rootfs-b")
        ran = self.run_hook("rollback", 0, 0, "", "ready_hook_failed", RUNNING="")
        self.assertEqual((ran.returncode, ran.stdout), (0, "restart\n"))
        self.run_hook("restart", 0, 0, "", "True")
        self.assertEqual(self.calls()[0], "fw_setenv try_slot rootfs-a")

    def test_check_compares_the_model(self) -> None:
        model = self.directory / "model"
        model.write_text("Board A\0")
        for meta, status, said in (
            ("", 0, ""),
            ("Board A", 0, ""),
            ("Board B", 1, "for 'Board B', and this is 'Board A'\n"),
        ):
            ran = self.run_hook("check", 0, 0, meta, MODEL=model)
            self.assertEqual((ran.returncode, ran.stdout), (status, said))

    def test_cleanup_forgets_the_slot(self) -> None:
        (self.directory / "next-slot").touch()
        self.assertEqual(self.run_hook("cleanup", 0, 0, "", "complete_ready").returncode, 0)
        self.assertFalse((self.directory / "next-slot").exists())
        self.assertEqual(self.calls(), ["systemctl start application.service"])

    def test_install_stream_writes_what_comes(self) -> None:
        for content in ("new" * 100, "newer" * 100_000):
            ran = self.run_hook("install-stream", 0, 0, "", "-", stdin=content)
            self.assertEqual((ran.returncode, ran.stderr), (0, ""))
            written = (self.directory / "rootfs-b").read_text()
            self.assertTrue(written.startswith(content))
            self.assertEqual((self.directory / "next-slot").read_text(), "rootfs-b\n")
        ran = self.run_hook("install-stream", 0, 0, "", "-", stdin="x", RUNNING=self.file)
        self.assertEqual(ran.returncode, 1)

    def test_install_refuses_an_unknown_slot(self) -> None:
        ran = self.run_hook("install", 0, 0, "", self.file, RUNNING=self.file)
        self.assertEqual(ran.returncode, 1)
        self.assertFalse((self.directory / "next-slot").exists())

    def test_restart_switches_over_unless_the_device_is_in_use(self) -> None:
        (self.directory / "next-slot").write_text("rootfs-b\n")
        (self.directory / "busy").touch()
        self.assertEqual(self.run_hook("restart", 0, 0, "", "").returncode, 3)
        self.assertEqual(self.run_hook("restart", 0, 0, "", "True").returncode, 0)
        self.assertEqual(self.calls(), ["fw_setenv try_slot rootfs-b", "systemctl reboot"])

    def test_ready_confirms_a_system_that_has_started(self) -> None:
        """It confirms what runs, whatever was to be tried."""
        (self.directory / "next-slot").write_text("rootfs-a\n")
        runs = self.directory / "rootfs-b"
        for state, status in (("starting", 3), ("degraded", 1), ("running", 0)):
            ran = self.run_hook("ready", 0, 0, "", SYSTEM=state, RUNNING=runs)
            self.assertEqual(ran.returncode, status)
        self.assertEqual(self.calls()[-2:], ["fw_setenv slot rootfs-b", "fw_setenv try_slot"])

    def test_ready_confirms_no_unknown_slot(self) -> None:
        ran = self.run_hook("ready", 0, 0, "", SYSTEM="running", RUNNING=self.file)
        self.assertEqual(ran.returncode, 1)
        self.assertEqual(self.calls(), ["systemctl is-system-running"])

    def test_the_inventory_is_what_aws_admits(self) -> None:
        printed = self.run_hook("inventory", 0, 0, "").stdout.splitlines()
        found, problems = attributes_of(printed)
        self.assertEqual((set(found), problems), ({"kernel", "machine"}, []))


class _Loader(yaml.SafeLoader):
    """Reads CloudFormation's short forms as what they stand for."""


def _short_form(loader: yaml.SafeLoader, tag: str, node: yaml.Node) -> dict[str, Any]:
    value: Any
    if isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.ScalarNode)
        value = loader.construct_scalar(node)
    return {"Ref" if tag == "Ref" else f"Fn::{tag}": value}


_Loader.add_multi_constructor("!", _short_form)


def filled_in(value: Any) -> Any:
    """A template's document with the values that the JSON examples have as placeholders."""
    if isinstance(value, list):
        return [filled_in(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "Fn::Sub" in value:
        known = {
            "AWS::Partition": "aws",
            "AWS::Region": "REGION",
            "AWS::AccountId": "ACCOUNT_ID",
            "Files.Arn": "arn:aws:s3:::BUCKET",
        }
        text = re.sub(r"\$\{([^!}]+)\}", lambda match: known[match[1]], value["Fn::Sub"])
        return text.replace("${!", "${")
    if value == {"Ref": "AWS::AccountId"}:
        return "ACCOUNT_ID"
    return {key: filled_in(item) for key, item in value.items()}


class Policies(SynchronousTestCase):
    def setUp(self) -> None:
        template = yaml.load(read("cloudformation.yaml"), Loader=_Loader)  # noqa: S506
        self.resources = template["Resources"]
        self.outputs = template["Outputs"]

    def test_the_local_aws_enforces_the_examples(self) -> None:
        for name, policy in {
            "iot-policy.json": policies.device_policy("REGION", "ACCOUNT_ID"),
            "iot-policy-inventory.json": policies.inventory_policy("REGION", "ACCOUNT_ID"),
            "s3-role-trust.json": policies.role_trust("REGION", "ACCOUNT_ID"),
            "s3-role-policy.json": policies.role_policy("BUCKET"),
        }.items():
            self.assertEqual(json.loads(read(name)), policy, name)

    def policy(self, name: str) -> object:
        return self.resources[name]["Properties"]["PolicyDocument"]

    def test_each_policy_of_devices_has_room(self) -> None:
        """AWS admits 2,048 characters without white space."""
        for policy in (policies.device_policy, policies.inventory_policy):
            text = json.dumps(policy("ap-southeast-2", "1" * 12), separators=(",", ":"))
            self.assertLess(len(text.replace("arn:aws", "arn:aws-us-gov")), 2048)

    def test_the_template_has_the_same_documents(self) -> None:
        role = self.resources["DownloadRole"]["Properties"]
        for document, name in (
            (self.policy("DevicePolicy"), "iot-policy.json"),
            (self.policy("InventoryPolicy"), "iot-policy-inventory.json"),
            (role["AssumeRolePolicyDocument"], "s3-role-trust.json"),
            (role["Policies"][0]["PolicyDocument"], "s3-role-policy.json"),
        ):
            self.assertEqual(filled_in(document), json.loads(read(name)), name)

    def test_the_bucket_is_private_and_kept(self) -> None:
        bucket = self.resources["Files"]
        self.assertEqual(bucket["DeletionPolicy"], "Retain")
        blocks = bucket["Properties"]["PublicAccessBlockConfiguration"]
        self.assertEqual(set(blocks.values()), {True})

    def test_outputs_name_resources(self) -> None:
        for output in self.outputs.values():
            [target] = output["Value"].values()
            self.assertIn(target.partition(".")[0], self.resources)


class PolicyCoversTheAgent(SynchronousTestCase):
    def setUp(self) -> None:
        self.read_policy("iot-policy.json")
        self.topics = Topics("${iot:Connection.Thing.ThingName}")

    def read_policy(self, name: str) -> None:
        policy = json.loads(read(name))
        self.allowed = {
            statement["Action"]: statement["Resource"] for statement in policy["Statement"]
        }

    def allows(self, action: str, kind: str, topic: str) -> bool:
        arn = f"arn:aws:iot:REGION:ACCOUNT_ID:{kind}/{topic}"
        patterns = (
            "".join(".*" if c == "*" else re.escape(c) for c in p) for p in self.allowed[action]
        )
        return any(re.fullmatch(pattern, arn) for pattern in patterns)

    def test_every_topic_that_the_agent_uses(self) -> None:
        topics = self.topics
        for topic in (topics.get, topics.describe("j"), topics.update("j")):
            self.assertTrue(self.allows("iot:Publish", "topic", topic), topic)
        for topic in topics.filters:
            self.assertTrue(self.allows("iot:Subscribe", "topicfilter", topic), topic)
            heard = topic.replace("+", "accepted")
            self.assertTrue(self.allows("iot:Receive", "topic", heard), heard)

    def test_every_topic_of_the_inventory(self) -> None:
        self.read_policy("iot-policy-inventory.json")
        thing = self.topics.thing_name
        self.assertTrue(self.allows("iot:Publish", "topic", update_topic(thing)))
        for topic in response_topics(thing):
            self.assertTrue(self.allows("iot:Subscribe", "topicfilter", topic), topic)
            self.assertTrue(self.allows("iot:Receive", "topic", topic), topic)
            self.assertFalse(self.allows("iot:Publish", "topic", topic), topic)
            self.assertFalse(self.allows("iot:Subscribe", "topicfilter", topic.replace(thing, "x")))

    def test_nothing_of_another_thing(self) -> None:
        other = Topics("other")
        self.assertFalse(self.allows("iot:Publish", "topic", other.get))
        for topic in other.filters:
            self.assertFalse(self.allows("iot:Subscribe", "topicfilter", topic), topic)

    def test_no_answer_may_be_published(self) -> None:
        self.assertFalse(self.allows("iot:Publish", "topic", self.topics.notify))
        accepted = self.topics.describe("j") + "/accepted"
        self.assertFalse(self.allows("iot:Publish", "topic", accepted))


class Bridge(SynchronousTestCase):
    def test_nobody_connects_without_a_password(self) -> None:
        lines = read("mosquitto-bridge.conf").splitlines()
        self.assertIn("allow_anonymous false", lines)
        self.assertNotIn("allow_anonymous true", lines)

    def test_the_agent_writes_requests_and_reads_answers(self) -> None:
        topics = Topics("THING")
        lines = [line.split() for line in read("mosquitto-bridge.acl").splitlines() if line]
        rules = {tuple(line) for line in lines if line[0] != "#"}
        requests = {topics.get, topics.describe("+"), topics.update("+")}
        self.assertEqual(
            rules,
            {("user", "upparat")}
            | {("topic", "write", topic) for topic in requests}
            | {("topic", "read", topic) for topic in topics.filters},
        )

    def test_it_passes_on_exactly_what_the_agent_uses(self) -> None:
        lines = [line.split() for line in read("mosquitto-bridge.conf").splitlines()]
        topics = Topics("THING")
        self.assertEqual(
            {(line[1], line[2], line[3]) for line in lines if line[:1] == ["topic"]},
            {(topic, "in", "1") for topic in topics.filters}
            | {(topics.get, "out", "1")}
            | {(topics.describe("+"), "out", "1"), (topics.update("+"), "out", "1")},
        )


class JobDocument(SynchronousTestCase):
    def parse(self, **replaced: str) -> object:
        text = read("job.json")
        for old, new in replaced.items():
            text = text.replace(old, new)
        document = json.loads(text)
        self.assertEqual(document["action"], ACTION)
        execution = JobExecution(ExecutionKey("j", 1, 1), Status.QUEUED, 1, document=document)
        return parse_document(execution)

    def test_it_works_once_the_placeholders_are_replaced(self) -> None:
        url = re.search(r"\$\{.*\}", read("job.json"))
        assert url is not None
        self.parse(**{url[0]: "https://bucket/key", "SHA256_OF_THE_FILE": "0" * 64})

    def test_a_digest_that_was_forgotten_is_noticed(self) -> None:
        error = self.assertRaises(InvalidDocument, self.parse)
        self.assertIn("sha256", str(error))


class Unit(SynchronousTestCase):
    def test_systemd_runs_the_agent_and_keeps_it_alive(self) -> None:
        parser = configparser.ConfigParser(interpolation=None)
        parser.optionxform = str  # type: ignore[assignment, method-assign]
        parser.read_string(read("upparat.service"))
        service = parser["Service"]
        self.assertEqual(service["Restart"], "always")
        self.assertEqual(service["Type"], "notify")
        self.assertEqual(service["KillMode"], "process")
        twistd, *arguments = service["ExecStart"].split()
        self.assertEqual(Path(twistd).name, "twistd")
        self.assertEqual(arguments[-2:], ["upparat", "--config=/etc/upparat/upparat.conf"])
        self.assertIn("--nodaemon", arguments)
