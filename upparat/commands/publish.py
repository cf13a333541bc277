"""``upparat publish``: brings a release to the devices.

It runs on the machine of who publishes, with credentials of AWS. It needs ``upparat[aws]``.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from upparat.publish import units
from upparat.publish.boto import BotoAws, connect
from upparat.publish.dryrun import as_text, requests_of, shown
from upparat.publish.executions import JobProgress
from upparat.publish.order import Order, RolloutPlan
from upparat.publish.place import check_place
from upparat.publish.progress import Console
from upparat.publish.publisher import Published, Publisher, Release, prepare
from upparat.publish.refusals import without_secrets
from upparat.publish.request import EXIT_FAILED, BadArgument, PublishFailed
from upparat.publish.table import shower
from upparat.publish.targets import account_of, targets
from upparat.publish.watch import JobWatch

from .product import product

EXIT_DEVICES_FAILED = 3
EXIT_NOT_ALL = 4
EXIT_INTERRUPTED = 130

_Value = TypeVar("_Value")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", metavar="FILE", type=Path, help="the file of the release")
    _add_release(parser.add_argument_group("the release"))
    _add_devices(parser.add_argument_group("the devices"))
    _add_rollout(parser.add_argument_group("the rollout"))
    _add_aws(parser.add_argument_group("AWS"))
    group = parser.add_argument_group("what is done")
    group.add_argument("--dry-run", action="store_true", help="print each request, and send none")
    group.add_argument("--watch", action="store_true", help="watch the job until it has ended")
    group.add_argument("--json", action="store_true", help="print JSON, one object a line")


def _add_release(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--version", required=True, help="the version that the file installs")
    group.add_argument("--sign", metavar="KEY", type=Path, help="the private key (PEM)")
    group.add_argument("--product", type=product, help="the product that the signature names")
    group.add_argument("--meta", default="", help="a text for the hooks")
    group.add_argument("--force-update", action="store_true", help="set 'force' of the document")
    group.add_argument("--log-url", default="", help="for logs: a URL, or s3://BUCKET/PREFIX")
    group.add_argument("--package", default="", help="the package of the catalog")
    group.add_argument("--delta", action="store_true", help="devices fetch what has changed")


def _add_devices(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--thing", action="append", default=[], help="a thing; may be repeated")
    group.add_argument("--group", action="append", default=[], help="a group; may be repeated")
    group.add_argument("--things-from", metavar="FILE", type=Path, help="a thing in each line")


def _add_rollout(group: argparse._ArgumentGroup) -> None:
    for option, parse, metavar, text in (
        ("--rollout", units.per_minute, "N/min", "devices that are notified a minute"),
        ("--abort-at", units.abort_rule, "P%[/N]", "cancel if P%% of N or more have failed"),
        ("--timeout", units.minutes, "2h", "the longest time of one execution (m, h, d)"),
        ("--retry", units.retries, "N", "how often a failed execution is queued again"),
        ("--schedule", units.schedule, "START/END", "UTC, such as 2027-01-31T02:00"),
    ):
        group.add_argument(option, type=_parsed(parse), metavar=metavar, help=text)


def _add_aws(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--bucket", required=True, help="the bucket of the file")
    group.add_argument("--prefix", default="firmware", help="of the file's key (firmware)")
    group.add_argument("--role-arn", metavar="ARN", required=True, help="signs the URLs")
    group.add_argument("--region", default="", help="(the configured one)")
    group.add_argument("--endpoint-url", metavar="URL", default="", help="of another AWS")
    group.add_argument("--job-id", default="", help="(made of the version and its targets)")


def _parsed(parse: Callable[[str], _Value]) -> Callable[[str], _Value]:
    """Let argparse print the reason of a ``ValueError``."""

    def convert(text: str) -> _Value:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return convert


def run(arguments: argparse.Namespace) -> None:
    """Publish. The exit status says how it ended: see ``docs/publish.md``."""
    console = Console(sys.stderr if arguments.json or arguments.dry_run else sys.stdout)
    try:
        status = _run(arguments, console)
    except PublishFailed as failed:
        console.end()
        print(f"upparat publish: {failed}", file=sys.stderr)
        status = failed.status
    except BrokenPipeError:  # the reader of the output has had enough
        sys.stdout = None
        status = 0 if arguments.dry_run else EXIT_FAILED
    if status:
        raise SystemExit(status)


def _run(arguments: argparse.Namespace, console: Console) -> int:
    try:
        order = order_of(arguments)
        aws, region = connect(arguments.region, arguments.endpoint_url)
        with tempfile.TemporaryDirectory(prefix="upparat-") as scratch:
            release = prepare(order, region, console, Path(scratch))
            if arguments.dry_run:
                _print_requests(release, aws, as_objects=arguments.json)
                return 0
            published = _publish(release, aws, console)
    except KeyboardInterrupt:
        told = "interrupted: the same command goes on where it has stopped"
        raise PublishFailed(told, EXIT_INTERRUPTED) from None
    if arguments.json:
        print(json.dumps(published.as_json()), flush=True)
    return _watch(arguments, published.release.job_id, aws, region) if arguments.watch else 0


def order_of(arguments: argparse.Namespace) -> Order:
    """Check the arguments together.

    :raises BadArgument: for the first that cannot be used.
    """
    if arguments.product and not arguments.sign:
        raise BadArgument("--product: only a signature names a product: add --sign")
    check_place(arguments.bucket, arguments.prefix)
    return Order(
        file=arguments.file,
        version=arguments.version,
        targets=targets(arguments.thing, arguments.group, arguments.things_from),
        bucket=arguments.bucket,
        prefix=arguments.prefix,
        role=arguments.role_arn,
        account=account_of(arguments.role_arn),
        rollout=RolloutPlan(
            per_minute=arguments.rollout,
            abort=arguments.abort_at,
            timeout=arguments.timeout,
            retries=arguments.retry,
            schedule=arguments.schedule,
        ),
        package=arguments.package,
        key_file=arguments.sign,
        product=arguments.product or "",
        meta=arguments.meta,
        force=arguments.force_update,
        log_url=arguments.log_url,
        job_id=arguments.job_id,
        delta=arguments.delta,
    )


def _print_requests(release: Release, aws: BotoAws, *, as_objects: bool) -> None:
    for request in requests_of(release):
        aws.check(request)
        print(json.dumps(shown(request)) if as_objects else as_text(request))
    sys.stdout.flush()


def _publish(release: Release, aws: BotoAws, console: Console) -> Published:
    publisher = Publisher(aws, console)
    release = publisher.check(release)
    sent = publisher.upload(release)
    new = publisher.make_job(release)
    made = "created" if new else "exists already, with the same document: it stays as it is"
    console.line(f"Job {release.job_id} {made}")
    return Published(release, sent, new)


def _watch(arguments: argparse.Namespace, job_id: str, aws: BotoAws, region: str) -> int:
    try:
        show = shower(sys.stdout, as_objects=arguments.json)
        return exit_status(JobWatch(aws, job_id, show).run())
    except KeyboardInterrupt:
        cancel = cancel_command(job_id, region, arguments.endpoint_url)
        print(f"\nJob {job_id} goes on. To cancel it:\n{cancel}", file=sys.stderr)
        return EXIT_INTERRUPTED


def exit_status(progress: JobProgress) -> int:
    """Say how a job has ended: 0 if all devices have succeeded, 3 if some have failed, else 4."""
    if progress.succeeded:
        return 0
    return EXIT_DEVICES_FAILED if progress.failed else EXIT_NOT_ALL


def cancel_command(job_id: str, region: str, endpoint: str) -> str:
    """Return the command that cancels a job, also where a device works on it."""
    words = ["aws", "iot", "cancel-job", "--job-id", job_id, "--force", "--region", region]
    return shlex.join(
        [*words, *(["--endpoint-url", without_secrets(endpoint)] if endpoint else [])]
    )
