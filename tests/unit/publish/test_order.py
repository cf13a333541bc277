"""The request that makes a job, judged by botocore's model."""

from __future__ import annotations

from typing import Any

from upparat.publish.order import RolloutPlan
from upparat.publish.request import BadArgument
from upparat.publish.units import AbortRule, Schedule

from .bench import GROUP, MODEL, REGION, ROLE, THING, PublishBench


class OrderTests(PublishBench):
    def parameters(self, **more: Any) -> dict[str, Any]:
        request = self.order(**more).create_job("job-1", "{}", REGION)
        MODEL.check(request)
        self.assertEqual(request.action, "iot:CreateJob")
        return dict(request.parameters)

    def test_what_every_job_has(self) -> None:
        self.assertEqual(
            self.parameters(targets=(THING, GROUP)),
            {
                "jobId": "job-1",
                "targets": [
                    f"arn:aws:iot:{REGION}:123456789012:thing/thing-1",
                    f"arn:aws:iot:{REGION}:123456789012:thinggroup/fleet",
                ],
                "document": "{}",
                "presignedUrlConfig": {"roleArn": ROLE, "expiresInSec": 3600},
            },
        )

    def test_the_rollout(self) -> None:
        plan = RolloutPlan(
            per_minute=50,
            abort=AbortRule(12.5, 20),
            timeout=120,
            retries=2,
            schedule=Schedule("2027-01-31T02:00", "2027-01-31T04:00"),
        )
        made = self.parameters(rollout=plan)
        self.assertEqual(made["jobExecutionsRolloutConfig"], {"maximumPerMinute": 50})
        self.assertEqual(
            made["abortConfig"],
            {
                "criteriaList": [
                    {
                        "failureType": "ALL",
                        "action": "CANCEL",
                        "thresholdPercentage": 12.5,
                        "minNumberOfExecutedThings": 20,
                    }
                ]
            },
        )
        self.assertEqual(made["timeoutConfig"], {"inProgressTimeoutInMinutes": 120})
        self.assertEqual(
            made["jobExecutionsRetryConfig"],
            {"criteriaList": [{"failureType": "ALL", "numberOfRetries": 2}]},
        )
        self.assertEqual(
            made["schedulingConfig"],
            {"startTime": "2027-01-31T02:00", "endTime": "2027-01-31T04:00"},
        )

    def test_a_schedule_may_be_open(self) -> None:
        plan = RolloutPlan(schedule=Schedule("", "2027-01-31T04:00"))
        made = self.parameters(rollout=plan)
        self.assertEqual(made["schedulingConfig"], {"endTime": "2027-01-31T04:00"})

    def test_a_package(self) -> None:
        order = self.order(package="app")
        arn = f"arn:aws:iot:{REGION}:123456789012:package/app/version/2.0.0"
        self.assertEqual(self.parameters(package="app")["destinationPackageVersions"], [arn])
        assert order.package_look_up is not None
        MODEL.check(order.package_look_up)
        self.assertIsNone(self.order().package_look_up)

    def test_names_that_aws_does_not_admit(self) -> None:
        for job_id in ("a b", "get", "x" * 65, "a:b"):
            error = self.assertRaises(BadArgument, self.order, job_id=job_id)
            self.assertTrue(str(error).startswith(f"--job-id: {job_id!r} is not"))
        error = self.assertRaises(BadArgument, self.order, package="a b")
        self.assertTrue(str(error).startswith("--package: 'a b' is not"))
        error = self.assertRaises(BadArgument, self.order, package="app", version="2.0+b1")
        self.assertTrue(str(error).startswith("--version: the catalog"))

    def test_a_job_id_is_made_of_the_release_and_its_targets(self) -> None:
        made = self.order().job_id_of("ab")
        self.assertRegex(made, r"^update-2-0-0-[0-9a-f]{8}$")
        self.assertEqual(self.order().job_id_of("ab"), made)
        others = {
            self.order().job_id_of("cd"),
            self.order(version="2.0.1").job_id_of("ab"),
            self.order(targets=(GROUP,)).job_id_of("ab"),
        }
        self.assertEqual(len(others | {made}), 4)
        both = (THING, GROUP), (GROUP, THING)
        self.assertEqual(*(self.order(targets=each).job_id_of("ab") for each in both))
        self.assertEqual(self.order(job_id="mine").job_id_of("ab"), "mine")

    def test_a_job_id_is_one_whatever_the_version_is(self) -> None:
        for version in ("2.0+ü", "é", "x" * 200, "1:2~3"):
            job_id = self.order(version=version).job_id_of("ab")
            self.order(job_id=job_id)
