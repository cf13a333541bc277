"""The owner's hooks: processes, their output, time-outs and retries."""
