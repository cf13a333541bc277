"""Files of jobs in the bucket of the local AWS."""

from __future__ import annotations

import tempfile
from pathlib import Path

from upparat.publish.boto import BotoAws
from upparat.publish.deltafile import make_delta
from upparat.publish.firmware import FirmwareFile
from upparat.publish.place import Place
from upparat.publish.progress import Console
from upparat.publish.upload import FirmwareUpload

from .aws import Cloud


def upload(aws: Cloud, job_id: str, file: FirmwareFile) -> Place:
    """Upload a file of a job.

    :raises AwsRefused: if the local AWS does not take it.
    """
    place = aws.place(f"{job_id}/{file.path.name}")
    FirmwareUpload(BotoAws(aws.client), place, file).run()
    return place


def upload_delta(aws: Cloud, job_id: str, file: Path, console: Console) -> Place:
    """Make the zchunk file of a file, and upload it.

    :raises BadArgument: if it cannot be made.
    :raises AwsRefused: if the local AWS does not take it.
    """
    with tempfile.TemporaryDirectory(prefix="upparat-") as scratch:
        return upload(aws, job_id, make_delta(file, Path(scratch), console))
