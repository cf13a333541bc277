"""Bundles: an update and its job document in one file, for devices without a network."""
