"""What is sent to S3, and what is not sent again."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from upparat.publish import firmware as firmware_module
from upparat.publish.firmware import FirmwareFile
from upparat.publish.request import AwsRefused, AwsRequest, PublishFailed
from upparat.publish.upload import FirmwareUpload, upload_requests

from .bench import MODEL, PLACE, PublishBench

CONTENT = b"0123456789"


class UploadBench(PublishBench):
    def setUp(self) -> None:
        super().setUp()
        self.seen: list[tuple[int, int]] = []
        self.aws.refuse("head_object", "404")

    def upload(self, firmware: FirmwareFile) -> int:
        return FirmwareUpload(self.aws, PLACE, firmware, lambda *done: self.seen.append(done)).run()


class SmallTests(UploadBench):
    def test_one_request_with_the_digest(self) -> None:
        firmware = self.firmware()
        self.assertEqual(self.upload(firmware), 8)
        self.assertEqual(self.aws.operations, ["head_object", "put_object"])
        parameters = self.aws.requests[-1].parameters
        self.assertEqual(parameters["ChecksumSHA256"], firmware.parts[0].sha256)
        self.assertEqual(parameters["Key"], PLACE.key)
        self.assertEqual(self.seen, [(0, 8), (8, 8)])

    def test_nothing_if_it_is_there(self) -> None:
        firmware = self.firmware()
        self.aws.answers["head_object"] = {
            "ContentLength": 8,
            "ChecksumSHA256": firmware.s3_checksum,
        }
        self.assertEqual(self.upload(firmware), 0)
        self.assertEqual(self.aws.operations, ["head_object"])
        self.assertEqual(self.aws.requests[0].parameters["ChecksumMode"], "ENABLED")
        self.assertEqual(self.seen, [])

    def test_an_object_without_the_digest_is_replaced(self) -> None:
        firmware = self.firmware()
        for head in (
            {"ContentLength": 8},
            {"ContentLength": 8, "ChecksumSHA256": "other"},
            {"ContentLength": 7, "ChecksumSHA256": firmware.s3_checksum},
        ):
            self.aws.answers["head_object"] = head
            self.assertEqual(self.upload(firmware), 8)

    def test_a_missing_right_is_no_missing_object(self) -> None:
        self.aws.refuse("head_object", "403")
        error = self.assertRaises(AwsRefused, self.upload, self.firmware())
        self.assertEqual(error.code, "403")
        self.assertEqual(self.aws.operations, ["head_object"])


class PartsTests(UploadBench):
    def setUp(self) -> None:
        super().setUp()
        self.patch(firmware_module, "part_size", lambda _: 4)
        self.large = self.firmware(CONTENT)
        self.aws.answers["create_multipart_upload"] = {"UploadId": "new"}
        self.aws.answers["upload_part"] = self.receive
        self.received: dict[int, bytes] = {}

    def receive(self, request: AwsRequest) -> Mapping[str, Any]:
        number = request.parameters["PartNumber"]
        self.received[number] = request.parameters["Body"].read()
        return {"ETag": f"etag {number}"}

    def completed(self) -> Mapping[str, Any]:
        last = self.aws.requests[-1]
        self.assertEqual(last.operation, "complete_multipart_upload")
        return last.parameters

    def stored(self, number: int, *, checksum: str = "") -> dict[str, Any]:
        piece = self.large.parts[number - 1]
        return {
            "PartNumber": number,
            "ETag": f"old {number}",
            "ChecksumSHA256": checksum or piece.sha256,
        }

    def left(self, *parts: dict[str, Any]) -> None:
        """S3 has two unfinished uploads of the object, and one of another."""
        self.aws.answers["list_multipart_uploads"] = {
            "Uploads": [
                {"Key": PLACE.key, "UploadId": "older", "Initiated": "2026-01-01"},
                {"Key": PLACE.key, "UploadId": "newer", "Initiated": "2026-01-02"},
                {"Key": f"{PLACE.key}.more", "UploadId": "other", "Initiated": "2026-01-03"},
            ]
        }
        self.aws.answers["list_parts"] = {"Parts": list(parts)}

    def test_each_part_with_its_digest(self) -> None:
        self.assertEqual(self.upload(self.large), 10)
        self.assertEqual(self.received, {1: b"0123", 2: b"4567", 3: b"89"})
        self.assertEqual(self.seen[0], (0, 10))
        self.assertEqual(self.seen[-1], (10, 10))
        made = self.completed()
        self.assertEqual(made["UploadId"], "new")
        self.assertEqual(
            made["MultipartUpload"]["Parts"],
            [
                {
                    "PartNumber": number,
                    "ETag": f"etag {number}",
                    "ChecksumSHA256": self.large.parts[number - 1].sha256,
                }
                for number in (1, 2, 3)
            ],
        )

    def test_the_object_is_there(self) -> None:
        self.aws.answers["head_object"] = {
            "ContentLength": 10,
            "ChecksumSHA256": self.large.s3_checksum,
        }
        self.assertEqual(self.upload(self.large), 0)
        self.assertEqual(self.aws.operations, ["head_object"])

    def test_parts_that_are_there_are_not_sent_again(self) -> None:
        self.left(self.stored(1), self.stored(3))
        self.assertEqual(self.upload(self.large), 4)
        self.assertEqual(self.received, {2: b"4567"})
        made = self.completed()
        self.assertEqual(made["UploadId"], "newer")
        etags = [part["ETag"] for part in made["MultipartUpload"]["Parts"]]
        self.assertEqual(etags, ["old 1", "etag 2", "old 3"])
        self.assertEqual(self.seen, [(6, 10), (10, 10)])
        self.assertNotIn("create_multipart_upload", self.aws.operations)

    def test_all_parts_are_there(self) -> None:
        self.left(*map(self.stored, (1, 2, 3)))
        self.assertEqual(self.upload(self.large), 0)
        self.assertEqual(self.received, {})
        self.completed()

    def test_parts_of_other_content_are_sent(self) -> None:
        self.left(self.stored(1, checksum="other"), self.stored(2))
        self.assertEqual(self.upload(self.large), 6)
        self.assertEqual(sorted(self.received), [1, 3])

    def test_a_list_of_parts_has_pages(self) -> None:
        self.left()
        self.aws.answers["list_parts"] = [
            {"Parts": [self.stored(1)], "IsTruncated": True, "NextPartNumberMarker": 1},
            {"Parts": [self.stored(2)], "IsTruncated": False},
        ]
        self.assertEqual(self.upload(self.large), 2)
        markers = [
            request.parameters["PartNumberMarker"]
            for request in self.aws.requests
            if request.operation == "list_parts"
        ]
        self.assertEqual(markers, [0, 1])

    def test_a_part_that_fails_ends_the_upload(self) -> None:
        self.aws.answers["upload_part"] = PublishFailed("no network")
        error = self.assertRaises(PublishFailed, self.upload, self.large)
        self.assertEqual(str(error), "no network")
        self.assertNotIn("complete_multipart_upload", self.aws.operations)


class DryTests(PublishBench):
    def test_all_requests_are_known_before(self) -> None:
        requests = list(upload_requests(PLACE, self.firmware()))
        self.assertEqual([each.operation for each in requests], ["head_object", "put_object"])
        self.patch(firmware_module, "part_size", lambda _: 4)
        requests = list(upload_requests(PLACE, self.firmware(CONTENT)))
        self.assertEqual(
            [each.operation for each in requests],
            [
                "head_object",
                "list_multipart_uploads",
                "create_multipart_upload",
                *["upload_part"] * 3,
                "complete_multipart_upload",
            ],
        )
        for request in requests:
            MODEL.check(request)
