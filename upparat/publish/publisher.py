"""Carries an order out: looks, uploads, and makes the job."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .checks import check_bucket, check_package, check_targets
from .deltafile import make_delta
from .document import encoded, job_document, load_key, signature_of
from .firmware import FirmwareFile, examine
from .order import Order
from .place import Place, key_of, log_place
from .progress import ByteProgress, Console
from .refusals import explained
from .request import Aws, AwsRefused, AwsRequest, BadArgument, PublishFailed
from .upload import FirmwareUpload

if TYPE_CHECKING:
    from upparat.signing.command import PrivateKey


@dataclass(frozen=True)
class Release:
    """An order whose file was read: all that the requests need.

    :ivar region: of the job and its targets. The bucket of ``place`` may be in another one.
    :ivar delta: the zchunk file, if the order wants one.
    """

    order: Order
    firmware: FirmwareFile
    region: str
    place: Place
    signature: str
    delta: FirmwareFile | None = None

    @property
    def job_id(self) -> str:
        return self.order.job_id_of(self.firmware.sha256)

    @property
    def delta_place(self) -> Place | None:
        """Where the zchunk file goes: beside the file, under its own digest."""
        if self.delta is None:
            return None
        key = key_of(self.order.prefix, self.delta.sha256, self.delta.path.name)
        return dataclasses.replace(self.place, key=key)

    @property
    def uploads(self) -> Iterator[tuple[Place, FirmwareFile]]:
        """All that S3 has to have before the job is made."""
        yield self.place, self.firmware
        if self.delta is not None and self.delta_place is not None:
            yield self.delta_place, self.delta

    @property
    def create_job(self) -> AwsRequest:
        """The request that makes the job.

        :raises BadArgument: if the document is too large, or an agent would reject it.
        """
        return self.order.create_job(self.job_id, encoded(self._document), self.region)

    @property
    def _document(self) -> dict[str, object]:
        return job_document(
            self.place.placeholder,
            self.order.version,
            self.firmware,
            signature=self.signature,
            meta=self.order.meta,
            force=self.order.force,
            log=log_place(self.order.log_url, self.place.region),
            delta=self.delta_place.placeholder if self.delta_place else "",
        )


@dataclass(frozen=True)
class Published:
    """What was done.

    :ivar sent: bytes that were uploaded.
    :ivar new: false if AWS had the job already, with the same document.
    """

    release: Release
    sent: int
    new: bool

    def as_json(self) -> dict[str, Any]:
        release = self.release
        return {
            "job_id": release.job_id,
            "version": release.order.version,
            "sha256": release.firmware.sha256,
            "size": release.firmware.size,
            "file": str(release.place),
            **({"delta": str(release.delta_place)} if release.delta_place else {}),
            "uploaded_bytes": self.sent,
            "new": self.new,
        }


def prepare(order: Order, region: str, console: Console, scratch: Path | None = None) -> Release:
    """Read the file and sign it. Asks AWS nothing.

    :param scratch: a directory for the zchunk file, which an order with ``delta`` needs.
    :raises BadArgument: if the file or the key cannot be used, or the document would be too large.
    """
    key = load_key(order.key_file) if order.key_file else None
    firmware = examine(order.file, ByteProgress(console, "Reading  "))
    if not firmware.size:
        raise BadArgument(f"FILE: {order.file} is empty")
    place = Place(region, order.bucket, key_of(order.prefix, firmware.sha256, order.file.name))
    release = Release(order, firmware, region, place, _signature(order, key, firmware))
    _ = release.create_job  # raises if the document would be too large, before the delta is made
    if not order.delta:
        return release
    if scratch is None:
        raise ValueError("an order with delta needs a directory for the zchunk file")
    release = dataclasses.replace(release, delta=make_delta(order.file, scratch, console))
    _ = release.create_job
    return release


def _signature(order: Order, key: PrivateKey | None, firmware: FirmwareFile) -> str:
    if key is None:
        return ""
    return signature_of(key, order.version, firmware.sha256, order.product)


class Publisher:
    """Publishes releases."""

    def __init__(self, aws: Aws, console: Console) -> None:
        self._aws = aws
        self._console = console

    def check(self, release: Release) -> Release:
        """Ask AWS whether all exists that the release needs. Returns it with the bucket's region.

        :raises PublishFailed: if something does not exist or may not be used.
        """
        home = check_bucket(self._aws, release.order.bucket, release.region)
        check_targets(self._aws, release.order, release.region)
        check_package(self._aws, release.order)
        return dataclasses.replace(release, place=dataclasses.replace(release.place, region=home))

    def upload(self, release: Release) -> int:
        """Upload all files. Returns the bytes that were sent.

        :raises PublishFailed: if that fails; the next run goes on from there.
        """
        return sum(self._upload(place, file) for place, file in release.uploads)

    def _upload(self, place: Place, file: FirmwareFile) -> int:
        progress = ByteProgress(self._console, "Uploading")
        try:
            sent = FirmwareUpload(self._aws, place, file, progress).run()
        except AwsRefused as refused:
            raise explained(refused, f"--bucket {place.bucket}") from None
        self._console.line(f"{place}: {'uploaded' if sent else 'was there already'}")
        return sent

    def make_job(self, release: Release) -> bool:
        """Make the job. Returns false if it is there already, with the same document.

        :raises PublishFailed: if AWS refuses it.
        """
        request = release.create_job
        try:
            self._aws.call(request)
        except AwsRefused as refused:
            if refused.code == "ResourceAlreadyExistsException" and self._is_there(request):
                return False
            raise _job_refused(refused, release) from None
        return True

    def _is_there(self, request: AwsRequest) -> bool:
        """Compare the documents. The first answer of AWS may have been lost on its way."""
        look_up = AwsRequest("iot", "get_job_document", {"jobId": request.parameters["jobId"]})
        try:
            theirs = self._aws.call(look_up)["document"]
        except AwsRefused:
            return False
        return _unsigned(theirs) == _unsigned(request.parameters["document"])


def _unsigned(document: str) -> Mapping[str, Any] | None:
    """A document without its signature, which differs with each run of some algorithms."""
    try:
        return {key: value for key, value in json.loads(document).items() if key != "signature"}
    except (ValueError, AttributeError):
        return None


def _job_refused(refused: AwsRefused, release: Release) -> PublishFailed:
    if refused.code == "ResourceAlreadyExistsException":
        return BadArgument(f"--job-id: there is another job {release.job_id!r} already")
    if "role" in str(refused).lower():
        return explained(refused, f"--role-arn {release.order.role}")
    return explained(refused, f"job {release.job_id}")
