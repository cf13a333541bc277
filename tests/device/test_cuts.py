"""The console says in which phase of an update a cut hits, and the end of a job is judged."""

from __future__ import annotations

from collections import Counter
from random import Random

from upparat.job import Status
from upparat.local.aws import ExecutionStatus

from .cuts import LAST, PHASES, Moment, Tally, contradictions, phase, reached

CONSOLE = (
    ("power on", "=== power on ==="),
    ("boot", "boot: rootfs-a, permanent"),
    ("agent, before the download", "[upparat.service] Upparat 2.0 for device"),
    ("agent, before the download", "job-1: select_job -> verify_job"),
    ("download", "job-1: verify_job -> download"),
    ("installation", "job-1: download -> install"),
    ("restart", "job-1: install -> restart"),
    ("way down", "Received SIGTERM, shutting down."),
    ("boot of the new version", "boot: rootfs-b, trial"),
    ("agent, before the download", "[upparat.service] Upparat 2.0 for device"),
    ("confirmation", "job-1: select_job -> verify_installation"),
    ("after the end", "job-1: SUCCEEDED complete_ready: none"),
    ("after the end", "job-1: verify_installation -> monitor"),
    ("power on", "=== power on ==="),
    ("boot", "boot: rootfs-b, permanent"),
)


def test_the_last_sign_counts() -> None:
    text = ""
    for expected, line in CONSOLE:
        text += f"{line}\n"
        assert phase(text) == expected, line


def test_a_later_phase_counts_as_reached() -> None:
    assert reached("download", "download")
    assert reached("installation", "download")
    assert not reached("boot", "download")
    assert all(reached(LAST, name) for name in PHASES)


def test_each_seed_draws_the_same_moments() -> None:
    drawn = [Moment.drawn(Random(seed)) for seed in range(100)]
    assert drawn == [Moment.drawn(Random(seed)) for seed in range(100)]
    assert {each.phase for each in drawn} == set(PHASES) - {"rollback", LAST}


def test_the_table_has_a_row_for_each_phase() -> None:
    tally = Tally(cuts=Counter(download=2), pages_lost=Counter(download=7))
    assert "| download | 2 | 7 |\n" in tally.table()
    assert "| rollback | 0 | 0 |\n" in tally.table()
    assert tally.table().endswith("| all | 2 | 7 |")


def test_ends_that_a_power_cut_explains() -> None:
    success = ExecutionStatus(Status.SUCCEEDED, 9, 1, {"state": "complete_ready"})
    assert contradictions(success, "1.0") == []
    details = {"state": "version_mismatch", "running": "1.0"}
    fall_back = ExecutionStatus(Status.FAILED, 9, 1, details)
    assert contradictions(fall_back, "1.0") == []
    assert len(contradictions(fall_back, "2.0")) == 1


def test_an_end_that_no_power_cut_explains() -> None:
    details = {"state": "installation_hook_failed", "running": "1.0"}
    assert len(contradictions(ExecutionStatus(Status.FAILED, 9, 1, details), "1.0")) == 1
