"""The console says in which phase of an update a cut hits."""

from __future__ import annotations

from collections import Counter

from .cuts import Tally, phase

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
)


def test_the_last_sign_counts() -> None:
    text = ""
    for expected, line in CONSOLE:
        text += f"{line}\n"
        assert phase(text) == expected, line


def test_the_table_has_a_row_for_each_phase() -> None:
    tally = Tally(cuts=Counter(download=2), pages_lost=Counter(download=7))
    assert "| download | 2 | 7 |\n" in tally.table()
    assert "| rollback | 0 | 0 |\n" in tally.table()
    assert tally.table().endswith("| all | 2 | 7 |")
