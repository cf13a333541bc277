"""The log of each job execution: kept on the device, and uploaded at the end."""
