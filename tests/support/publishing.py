"""``upparat publish`` as its users run it, against a local AWS."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from upparat.local import policies

from .waiting import PATIENCE

SECRET = "secret-access-key"


class PublishCommand:
    """Runs the command in an environment of its own.

    :param endpoint: the URL of the local AWS.
    :param home: a directory for the user's settings of AWS, of which there are none.
    """

    def __init__(
        self, endpoint: str, home: Path, access_key: str = "test", secret: str = SECRET
    ) -> None:
        self.endpoint = endpoint
        self.secret = secret
        self.environment = {
            "AWS_ACCESS_KEY_ID": access_key,
            "AWS_SECRET_ACCESS_KEY": secret,
            "AWS_DEFAULT_REGION": policies.REGION,
            "AWS_EC2_METADATA_DISABLED": "true",
            "HOME": str(home),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }

    def words(self, file: Path, *words: str) -> list[str]:
        """The command line, with all that it needs but the devices."""
        usual = ["--version", "2.0", "--bucket", policies.BUCKET]
        local = ["--role-arn", policies.ROLE_ARN, "--endpoint-url", self.endpoint]
        main = "from upparat.commands.main import main; main()"
        return [sys.executable, "-c", main, "publish", str(file), *usual, *local, *words]

    def run(self, file: Path, *words: str) -> subprocess.CompletedProcess[str]:
        ran = subprocess.run(
            self.words(file, *words),
            env=self.environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=4 * PATIENCE,
        )
        assert "Traceback" not in ran.stderr
        assert self.secret not in ran.stdout + ran.stderr
        return ran

    def json(self, file: Path, *words: str) -> list[dict[str, Any]]:
        """The objects that it prints; it has to succeed."""
        ran = self.run(file, "--json", *words)
        assert ran.returncode == 0, ran.stderr
        return [json.loads(line) for line in ran.stdout.splitlines()]

    def start(self, file: Path, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            self.words(file, *words),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
