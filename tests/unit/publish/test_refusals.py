"""One line for each refusal of AWS."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from upparat.publish.refusals import explained, without_secrets

from .bench import refusal


class RefusalsTests(SynchronousTestCase):
    def told(self, code: str, message: str = "no", operation: str = "create_job") -> str:
        failed = explained(refusal(code, message, operation), "--thing x")
        self.assertEqual(failed.status, 1)
        return str(failed)

    def test_a_missing_right_is_named(self) -> None:
        told = self.told("AccessDeniedException", "User u is not authorized")
        self.assertEqual(
            told, "--thing x: the right iot:CreateJob is missing: User u is not authorized"
        )
        told = self.told("403", "Forbidden", "head_bucket")
        self.assertEqual(told, "--thing x: the right s3:ListBucket is missing: Forbidden")
        message = "not authorized to perform: iam:PassRole on resource: r"
        for code in ("AccessDeniedException", "InvalidRequestException"):
            self.assertIn("the right iam:PassRole is missing", self.told(code, message))

    def test_credentials(self) -> None:
        self.assertIn("credentials have expired", self.told("ExpiredToken"))
        self.assertIn("does not accept the credentials", self.told("InvalidAccessKeyId"))

    def test_a_file_that_has_changed(self) -> None:
        self.assertIn("the file has changed", self.told("BadDigest", operation="head_object"))

    def test_all_else(self) -> None:
        self.assertEqual(
            self.told("LimitExceeded", "too\nmany"), "--thing x: LimitExceeded: too many"
        )

    def test_no_secrets(self) -> None:
        text = 'Could not connect to "https://user:word@h/b?X-Amz-Signature=secret"\n'
        self.assertEqual(without_secrets(text), 'Could not connect to "https://h/b"')
