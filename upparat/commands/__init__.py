"""The ``upparat`` command: a room for each verb."""
