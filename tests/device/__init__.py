"""A device that boots in QEMU: ``make device-test``. docs/device.md describes it."""
