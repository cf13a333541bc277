"""Questions to AWS before anything is sent: do the bucket, the targets and the package exist?"""

from __future__ import annotations

from .order import Order
from .refusals import explained
from .request import Aws, AwsRefused, AwsRequest, BadArgument
from .targets import TargetKind

_KINDS = {TargetKind.THING: "thing", TargetKind.GROUP: "thing group"}


def head_bucket(bucket: str) -> AwsRequest:
    return AwsRequest("s3", "head_bucket", {"Bucket": bucket})


def check_bucket(aws: Aws, bucket: str, region: str) -> str:
    """Return the region of a bucket: URLs of its objects name it.

    :param region: what is returned if AWS does not say.
    :raises BadArgument: if there is no such bucket.
    :raises PublishFailed: if it may not be used.
    """
    try:
        answer = aws.call(head_bucket(bucket))
    except AwsRefused as refused:
        if refused.missing:
            raise BadArgument(f"--bucket: there is no bucket {bucket!r}") from None
        raise explained(refused, f"--bucket {bucket}") from None
    return str(answer.get("BucketRegion") or region)


def check_targets(aws: Aws, order: Order, region: str) -> None:
    """Look each target up.

    :raises BadArgument: for the first that AWS does not know.
    :raises PublishFailed: if AWS does not say.
    """
    for target in order.targets:
        try:
            aws.call(target.look_up)
        except AwsRefused as refused:
            if refused.missing:
                kind = _KINDS[target.kind]
                raise BadArgument(
                    f"{target.option}: there is no {kind} {target.name!r} in {region}"
                ) from None
            raise explained(refused, f"{target.option} {target.name}") from None


def check_package(aws: Aws, order: Order) -> None:
    """Look the version of the package up. AWS takes only published ones.

    :raises BadArgument: if the catalog does not have it, or as a draft.
    :raises PublishFailed: if AWS does not say.
    """
    request = order.package_look_up
    if request is None:
        return
    named = f"--package: version {order.version} of {order.package}"
    try:
        answer = aws.call(request)
    except AwsRefused as refused:
        if refused.missing:
            raise BadArgument(f"{named} is not in the package catalog") from None
        raise explained(refused, f"--package {order.package}") from None
    if answer.get("status") == "DRAFT":
        raise BadArgument(f"{named} is a draft: publish it in the package catalog first")
