"""The inventory: reports to AWS which package version runs on the device."""
