"""What downloads and MQTT share of the network: proxies, names, threads."""
