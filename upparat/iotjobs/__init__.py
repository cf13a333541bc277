"""The AWS IoT Jobs device API over MQTT: requests, answers, reports."""
