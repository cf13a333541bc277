"""Metrics of the agent for Prometheus."""
