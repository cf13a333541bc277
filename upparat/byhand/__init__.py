"""Installs that somebody begins on the device: the machine takes them for jobs."""
