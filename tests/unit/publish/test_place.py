"""Names of objects, and the placeholders of job documents."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.place import Place, check_place, key_of, log_place
from upparat.publish.request import BadArgument


class PlaceTests(SynchronousTestCase):
    def test_placeholders(self) -> None:
        place = Place("eu-west-1", "b", "k/f.bin")
        self.assertEqual(
            place.placeholder,
            "${aws:iot:s3-presigned-url:https://s3.eu-west-1.amazonaws.com/b/k/f.bin}",
        )
        self.assertEqual(
            place.upload_placeholder,
            "${aws:iot:s3-presigned-url-upload:https://s3.eu-west-1.amazonaws.com/b/k/f.bin}",
        )
        self.assertIn("s3.cn-north-1.amazonaws.com.cn/", Place("cn-north-1", "b", "k").placeholder)

    def test_names(self) -> None:
        for bucket, prefix in (("my-files.eu", "firmware/a_b"), ("abc", ""), ("a" * 63, "x" * 512)):
            check_place(bucket, prefix)
        for bucket in ("", "ab", "A-bucket", "a" * 64, "-abc", "a_b_c", "s3://files", "files/x"):
            error = self.assertRaises(BadArgument, check_place, bucket, "")
            self.assertEqual(str(error), f"--bucket: {bucket!r} is no name of a bucket")
        for prefix in ("/a", "a/", "a//b", "a b", "é", "x" * 513):
            error = self.assertRaises(BadArgument, check_place, "files", prefix)
            self.assertTrue(str(error).startswith(f"--prefix: {prefix!r} is not "))

    def test_keys_need_no_escapes(self) -> None:
        self.assertEqual(key_of("firmware", "ab12", "image.bin"), "firmware/ab12/image.bin")
        self.assertEqual(key_of("", "ab12", "a b+ü}.bin"), "ab12/a-b-.bin")
        self.assertEqual(len(key_of("", "ab12", "x" * 300)), 5 + 128)

    def test_a_place_for_logs(self) -> None:
        url = "https://h/log?secret"
        self.assertEqual(log_place(url, "eu-west-1"), url)
        self.assertEqual(log_place("", "eu-west-1"), "")
        name = "${thingName}/${jobId}/${executionNumber}.txt"
        for text, key in (("s3://files/logs/", f"logs/{name}"), ("s3://files", name)):
            self.assertEqual(
                log_place(text, "eu-west-1"), Place("eu-west-1", "files", key).upload_placeholder
            )
        for text in ("s3://", "s3://A", "s3://files/a b"):
            error = self.assertRaises(BadArgument, log_place, text, "eu-west-1")
            self.assertIn("--log-url", str(error))
