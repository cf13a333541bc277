"""The ``upparat-local`` command: a local AWS to try hooks with."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from upparat.job import Status
from upparat.publish.document import job_document
from upparat.publish.firmware import FirmwareFile, examine
from upparat.publish.place import Place
from upparat.publish.request import AwsRefused, PublishFailed

from . import policies
from .aws import Cloud, LocalAws, require_packages
from .device import Device
from .files import upload, upload_delta
from .ministack import LocalAwsError

DIRECTORY = "upparat-local"
THING = "my-device"
CONNECTION = "connection.json"
_COMMANDS = ("start", "job")


def main(argv: Sequence[str] | None = None) -> int:
    """Run until SIGINT or SIGTERM, then return 0; return 1 if the local AWS does not work."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] not in (*_COMMANDS, "-h", "--help"):
        words.insert(0, "start")
    arguments = _parser().parse_args(words)
    try:
        require_packages()
        return start(arguments) if arguments.command == "start" else job(arguments)
    except (LocalAwsError, PublishFailed, AwsRefused) as error:
        print(f"upparat-local: {error}", file=sys.stderr)
        return 1


# --- start ---


def start(arguments: argparse.Namespace) -> int:
    """Start everything, print the next steps, and wait for a signal."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    directory = Path(arguments.directory).absolute()
    try:
        with LocalAws(directory / "aws") as aws, _connection(directory) as connection:
            device = aws.create_device(directory / "device", arguments.thing, hooks=True)
            connection.write_text(_describe(aws, device), encoding="utf-8")
            print(guide(aws, device, directory), flush=True)
            _wait(aws)
    except KeyboardInterrupt:
        print("\nStopped.")
    return 0


def _wait(aws: LocalAws) -> None:
    while aws.ministack.running:
        time.sleep(0.5)
    raise LocalAwsError(f"MiniStack has ended; see {aws.log_file}")


@contextmanager
def _connection(directory: Path) -> Iterator[Path]:
    """Yield the path of the file by which ``upparat-local job`` finds a running local AWS."""
    file = directory / CONNECTION
    try:
        yield file
    finally:
        file.unlink(missing_ok=True)


def _describe(aws: Cloud, device: Device) -> str:
    return json.dumps(
        {
            "endpoint": aws.endpoint,
            "mqtt_port": aws.mqtt_port,
            "thing_name": device.thing_name,
            "device": str(device.directory),
        }
    )


def guide(aws: Cloud, device: Device, directory: Path) -> str:
    """Format the next steps, with commands ready to be pasted."""
    here = shlex.quote(os.path.relpath(directory))
    document = {
        "action": "upparat-update",
        "version": "1.0.0",
        "file": aws.placeholder("firmware.bin"),
    }
    endpoint = f"--endpoint-url {aws.endpoint}"
    return f"""\
Local AWS     {aws.endpoint}
MQTT (mTLS)   127.0.0.1:{aws.mqtt_port}
Thing         {device.thing_name}
Bucket        {policies.BUCKET}
Hooks         {device.directory / "hooks"}: edit them
Log           {directory / "aws" / "ministack.log"}

1. Run the agent in a second terminal. The example restart hook ends it: start it again then,
   as systemd would.

   {shlex.join(device.agent_command())}

2. Install a file with a job, in a third terminal, and watch it:

   upparat-local job -d {here} FILE VERSION

   or, step by step, with the AWS command line:

   export AWS_ACCESS_KEY_ID=test AWS_SECRET_ACCESS_KEY=test AWS_DEFAULT_REGION={policies.REGION}
   aws {endpoint} s3 cp FILE s3://{policies.BUCKET}/firmware.bin
   aws {endpoint} iot create-job --job-id job-1 \\
     --targets {policies.thing_arn(device.thing_name)} \\
     --presigned-url-config roleArn={policies.ROLE_ARN} \\
     --document {shlex.quote(json.dumps(document))}
   aws {endpoint} iot describe-job-execution --job-id job-1 --thing-name {device.thing_name}

Ctrl-C ends the local AWS; its things and jobs go with it.
"""


# --- job ---


def job(arguments: argparse.Namespace) -> int:
    """Upload a file, create a job for it and follow the job. Returns 0 if it succeeded."""
    from .screen import Screen, follow
    from .watch import Watcher

    aws, device = _connect(Path(arguments.directory))
    job_id = arguments.job_id or f"job-{time.time_ns() // 1_000_000}"
    firmware = examine(Path(arguments.file))
    screen = Screen(sys.stdout)
    place = upload(aws, job_id, firmware)
    delta = upload_delta(aws, job_id, firmware.path, screen) if arguments.delta else None
    with Watcher(aws.mqtt_port, device.cafile, device.thing_name) as watcher:
        document = _document(arguments, firmware, place, delta)
        aws.create_job(job_id, document, [device.thing_name])
        screen.line(f"Job {job_id} created for {device.thing_name}; Ctrl-C stops watching it")
        try:
            execution = follow(watcher, screen, lambda: aws.execution(job_id, device.thing_name))
        except KeyboardInterrupt:
            return 130
    screen.line(f"{execution.status}: {execution.state}")
    return 0 if execution.status is Status.SUCCEEDED else 1


def _connect(directory: Path) -> tuple[Cloud, Device]:
    try:
        connection = json.loads((directory / CONNECTION).read_text(encoding="utf-8"))
    except OSError:
        raise LocalAwsError(f"no local AWS runs in {directory}: start upparat-local") from None
    cloud = Cloud(connection["endpoint"], connection["mqtt_port"])
    return cloud, Device(connection["thing_name"], Path(connection["device"]))


def _document(
    arguments: argparse.Namespace,
    firmware: FirmwareFile,
    place: Place,
    delta: Place | None = None,
) -> dict[str, object]:
    return job_document(
        place.placeholder,
        arguments.version,
        firmware,
        meta=arguments.meta or "",
        force=arguments.force,
        delta=delta.placeholder if delta else "",
    )


# --- command line ---


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="upparat-local",
        description="A local AWS with a device, to try hooks without an account.",
        epilog="'upparat-local [DIRECTORY]' is short for 'upparat-local start [DIRECTORY]'.",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    start_parser = commands.add_parser("start", help="run the local AWS in the foreground")
    start_parser.add_argument("directory", nargs="?", default=DIRECTORY, help=f"({DIRECTORY})")
    start_parser.add_argument("--thing", default=THING, help=f"the thing's name ({THING})")
    job_parser = commands.add_parser("job", help="install a file on the device, and watch it")
    job_parser.add_argument("file", help="the file to install")
    job_parser.add_argument("version", help="what the version hook prints afterwards")
    job_parser.add_argument("-d", "--directory", default=DIRECTORY, help=f"({DIRECTORY})")
    job_parser.add_argument("--job-id", help="(job-NUMBER)")
    job_parser.add_argument("--meta", help="passed to the hooks")
    job_parser.add_argument(
        "--delta", action="store_true", help="fetch only what has changed; needs zck"
    )
    job_parser.add_argument("--force", action="store_true", help="skip version and download hook")
    return parser


if __name__ == "__main__":
    sys.exit(main())
