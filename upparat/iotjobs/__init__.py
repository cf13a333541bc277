"""The device API of AWS IoT Jobs over MQTT: requests, responses, reports."""
