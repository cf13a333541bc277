"""The main job: what a fleet sees of an update, on each of its paths, to the letter."""

from __future__ import annotations

from tests.e2e.conftest import AgentFactory, Documents, steps
from tests.support.cloud import Cloud
from tests.support.files import File
from tests.support.scripts import Hooks


def test_soft_restart(
    agent: AgentFactory, cloud: Cloud, hooks: Hooks, firmware: File, document: Documents
) -> None:
    agent()
    cloud.create_job("job-1", document(firmware))
    cloud.wait_for_end("job-1")
    assert steps(cloud.history("job-1")) == [
        ("IN_PROGRESS", "download_start", "none"),
        ("IN_PROGRESS", "installation_start", "none"),
        ("IN_PROGRESS", "reboot_start", "none"),
        ("SUCCEEDED", "complete_soft_restart", "none"),
    ]
    assert hooks.names() == ["version", "download", "install", "restart", "version", "ready"]
    assert hooks.installed_file.read_bytes() == firmware.content
