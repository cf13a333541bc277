"""Uploads the file of a release to S3: each byte once, whatever interrupts it.

S3 verifies each part by its SHA-256. The key of the object holds the digest of the file, so an
upload of an earlier run, whole or not, is one of the same file.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .firmware import FirmwareFile
from .place import Place
from .request import Aws, AwsRefused, AwsRequest, FilePiece
from .threads import in_threads

WORKERS = 4
"""Parts that are sent at once."""

Progress = Callable[[int, int], object]
"""Called with the bytes that S3 has, and the size of the file."""


# --- requests ---


def head_object(place: Place) -> AwsRequest:
    return AwsRequest("s3", "head_object", {**place.parameters, "ChecksumMode": "ENABLED"})


def put_object(place: Place, piece: FilePiece) -> AwsRequest:
    body = {"Body": piece, "ContentLength": piece.length, "ChecksumSHA256": piece.sha256}
    return AwsRequest("s3", "put_object", {**place.parameters, **body})


def list_multipart_uploads(place: Place) -> AwsRequest:
    parameters = {"Bucket": place.bucket, "Prefix": place.key}
    return AwsRequest("s3", "list_multipart_uploads", parameters)


def create_multipart_upload(place: Place) -> AwsRequest:
    kind = {"ChecksumAlgorithm": "SHA256", "ChecksumType": "COMPOSITE"}
    return AwsRequest("s3", "create_multipart_upload", {**place.parameters, **kind})


def list_parts(place: Place, upload_id: str, after: int) -> AwsRequest:
    more = {"UploadId": upload_id, "PartNumberMarker": after}
    return AwsRequest("s3", "list_parts", {**place.parameters, **more})


def upload_part(place: Place, upload_id: str, number: int, piece: FilePiece) -> AwsRequest:
    part = {
        "UploadId": upload_id,
        "PartNumber": number,
        "Body": piece,
        "ContentLength": piece.length,
        "ChecksumSHA256": piece.sha256,
    }
    return AwsRequest("s3", "upload_part", {**place.parameters, **part})


def complete_multipart_upload(
    place: Place, upload_id: str, firmware: FirmwareFile, etags: Mapping[int, str]
) -> AwsRequest:
    """:param etags: what S3 has answered to each part, by its number."""
    parts = [
        {"PartNumber": number, "ETag": etags[number], "ChecksumSHA256": piece.sha256}
        for number, piece in enumerate(firmware.parts, 1)
    ]
    more = {"UploadId": upload_id, "MultipartUpload": {"Parts": parts}}
    return AwsRequest("s3", "complete_multipart_upload", {**place.parameters, **more})


def upload_requests(place: Place, firmware: FirmwareFile) -> Iterator[AwsRequest]:
    """Yield what is sent if S3 has nothing of the file."""
    yield head_object(place)
    if firmware.single:
        yield put_object(place, firmware.parts[0])
        return
    yield list_multipart_uploads(place)
    yield create_multipart_upload(place)
    pieces = dict(enumerate(firmware.parts, 1))
    for number, piece in pieces.items():
        yield upload_part(place, UPLOAD_ID, number, piece)
    yield complete_multipart_upload(place, UPLOAD_ID, firmware, dict.fromkeys(pieces, ETAG))


UPLOAD_ID = "<UploadId of create_multipart_upload>"
ETAG = "<ETag of upload_part>"


# --- the upload ---


class FirmwareUpload:
    """Brings one file to its place."""

    def __init__(
        self, aws: Aws, place: Place, firmware: FirmwareFile, progress: Progress = lambda *_: None
    ) -> None:
        self._aws = aws
        self._place = place
        self._firmware = firmware
        self._progress = progress

    def run(self) -> int:
        """Upload what S3 does not have. Returns the bytes that were sent.

        :raises AwsRefused: if AWS refuses a request.
        :raises PublishFailed: if AWS cannot be reached, or the file has changed meanwhile.
        """
        if self._is_there():
            return 0
        if not self._firmware.single:
            return self._send_parts()
        [piece] = self._firmware.parts
        self._progress(0, piece.length)
        self._aws.call(put_object(self._place, piece))
        self._progress(piece.length, piece.length)
        return piece.length

    def _is_there(self) -> bool:
        try:
            head = self._aws.call(head_object(self._place))
        except AwsRefused as refused:
            if refused.missing:
                return False
            raise
        whole = head.get("ContentLength"), head.get("ChecksumSHA256")
        return whole == (self._firmware.size, self._firmware.s3_checksum)

    def _send_parts(self) -> int:
        upload_id, etags = self._unfinished() or (self._begin(), {})
        missing = {
            number: piece
            for number, piece in enumerate(self._firmware.parts, 1)
            if number not in etags
        }
        to_send = sum(piece.length for piece in missing.values())
        sent = self._firmware.size - to_send
        self._progress(sent, self._firmware.size)
        for number, etag in self._sent(upload_id, missing):
            etags[number] = etag
            sent += missing[number].length
            self._progress(sent, self._firmware.size)
        self._aws.call(complete_multipart_upload(self._place, upload_id, self._firmware, etags))
        return to_send

    def _begin(self) -> str:
        return str(self._aws.call(create_multipart_upload(self._place))["UploadId"])

    def _sent(self, upload_id: str, missing: Mapping[int, FilePiece]) -> Iterator[tuple[int, str]]:
        """Send parts; yield the number and the ETag of each that S3 has."""

        def send(part: tuple[int, FilePiece]) -> tuple[int, str]:
            answer = self._aws.call(upload_part(self._place, upload_id, *part))
            return part[0], str(answer["ETag"])

        return in_threads(send, missing.items(), WORKERS)

    def _unfinished(self) -> tuple[str, dict[int, str]] | None:
        """Find the newest unfinished upload of the object, and the parts that S3 has of it."""
        answer = self._aws.call(list_multipart_uploads(self._place))
        uploads = [
            upload for upload in answer.get("Uploads", ()) if upload["Key"] == self._place.key
        ]
        if not uploads:
            return None
        newest = max(uploads, key=lambda upload: str(upload.get("Initiated", "")))
        return newest["UploadId"], self._parts_of(newest["UploadId"])

    def _parts_of(self, upload_id: str) -> dict[int, str]:
        """List the parts that are as ours are. S3 has verified their digests."""
        pieces = dict(enumerate(self._firmware.parts, 1))
        return {
            part["PartNumber"]: part["ETag"]
            for part in self._listed(upload_id)
            if (piece := pieces.get(part["PartNumber"]))
            and part.get("ChecksumSHA256") == piece.sha256
        }

    def _listed(self, upload_id: str) -> Iterator[Mapping[str, Any]]:
        marker = 0
        while True:
            answer = self._aws.call(list_parts(self._place, upload_id, marker))
            yield from answer.get("Parts", ())
            if not answer.get("IsTruncated"):
                return
            marker = int(answer["NextPartNumberMarker"])
