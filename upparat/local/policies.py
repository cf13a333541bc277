"""The policy documents of the local AWS: those of ``examples/`` with their names filled in."""

from __future__ import annotations

REGION = "us-east-1"
ACCOUNT = "000000000000"
BUCKET = "upparat-local-files"
ROLE = "upparat-local-download"
POLICY = "upparat-local-device"
INVENTORY_POLICY = "upparat-local-inventory"
ROLE_ARN = f"arn:aws:iam::{ACCOUNT}:role/{ROLE}"

Policy = dict[str, object]


def thing_arn(thing_name: str) -> str:
    return f"arn:aws:iot:{REGION}:{ACCOUNT}:thing/{thing_name}"


_THING = "${iot:Connection.Thing.ThingName}"


def device_policy(region: str = REGION, account: str = ACCOUNT) -> Policy:
    """Allow a device to connect under its thing's name and to follow its own jobs."""

    def arns(kind: str, *parts: str) -> list[str]:
        base = f"arn:aws:iot:{region}:{account}:{kind}/$aws/things/{_THING}/jobs"
        return [f"{base}/{part}" for part in parts]

    client = f"arn:aws:iot:{region}:{account}:client/{_THING}"
    attached = {"Bool": {"iot:Connection.Thing.IsAttached": "true"}}
    return _policy(
        _allow("Connect", "iot:Connect", client) | {"Condition": attached},
        _allow("Ask", "iot:Publish", arns("topic", "get", "*/get", "*/update")),
        _allow(
            "Hear",
            "iot:Receive",
            arns("topic", "notify", "get/*", "*/get/*", "*/update/*"),
        ),
        _allow(
            "Listen",
            "iot:Subscribe",
            arns("topicfilter", "notify", "get/+", "+/get/+", "+/update/+"),
        ),
    )


def inventory_policy(region: str = REGION, account: str = ACCOUNT) -> Policy:
    """Allow a device to report its package: only with ``[inventory]``."""

    def arns(kind: str, *parts: str) -> list[str]:
        update = f"$aws/things/{_THING}/shadow/name/$package/update"
        return [f"arn:aws:iot:{region}:{account}:{kind}/{update}{part}" for part in parts]

    answers = ("/accepted", "/rejected")
    return _policy(
        _allow("Report", "iot:Publish", arns("topic", "")),
        _allow("Hear", "iot:Receive", arns("topic", *answers)),
        _allow("Listen", "iot:Subscribe", arns("topicfilter", *answers)),
    )


def role_trust(region: str = REGION, account: str = ACCOUNT) -> Policy:
    """Allow AWS IoT, for this account and region alone, to sign URLs with the role."""
    condition = {
        "StringEquals": {"aws:SourceAccount": account},
        "ArnLike": {"aws:SourceArn": f"arn:aws:iot:{region}:{account}:*"},
    }
    statement: Policy = {
        "Sid": "SignUrls",
        "Effect": "Allow",
        "Principal": {"Service": "iot.amazonaws.com"},
        "Action": "sts:AssumeRole",
        "Condition": condition,
    }
    return _policy(statement)


def role_policy(bucket: str = BUCKET) -> Policy:
    """Allow a signed URL to read an object of the bucket, or to write a log of a job."""
    return _policy(
        _allow("ReadFiles", "s3:GetObject", f"arn:aws:s3:::{bucket}/*"),
        _allow("WriteLogs", "s3:PutObject", f"arn:aws:s3:::{bucket}/logs/*"),
    )


def _policy(*statements: Policy) -> Policy:
    return {"Version": "2012-10-17", "Statement": list(statements)}


def _allow(sid: str, action: str, resource: object) -> Policy:
    return {"Sid": sid, "Effect": "Allow", "Action": action, "Resource": resource}
