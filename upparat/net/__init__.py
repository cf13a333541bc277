"""Proxies, name lookups and threads, for downloads and MQTT."""
