"""A device that boots in QEMU: ``make device-test``. docs/device.md describes it."""

import pytest

# Its assertions say what they have found.
pytest.register_assert_rewrite("tests.device.world")
