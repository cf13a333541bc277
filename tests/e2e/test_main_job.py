"""The main job: what a fleet sees of an update, on each of its paths, to the letter."""

from __future__ import annotations

from tests.e2e.updates import Updates


def test_soft_restart(updates: Updates) -> None:
    assert updates.run() == [
        ("IN_PROGRESS", "download_start", "none"),
        ("IN_PROGRESS", "installation_start", "none"),
        ("IN_PROGRESS", "reboot_start", "none"),
        ("SUCCEEDED", "complete_soft_restart", "none"),
    ]
    assert updates.hooks.names() == [
        "version",
        "download",
        "install",
        "restart",
        "version",
        "ready",
    ]
    assert updates.installed == updates.file.content
