"""The connection to the broker: MQTT 3.1.1 by paho, driven by the reactor."""
