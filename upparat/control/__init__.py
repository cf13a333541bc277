"""The control socket: what the agent does, for people and programs on the device."""
