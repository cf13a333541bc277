"""The connection to the broker: MQTT 3.1.1 through paho, driven by the reactor."""
