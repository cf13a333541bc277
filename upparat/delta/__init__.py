"""Updates that cost what has changed: the agent builds a file of what it has, and of new chunks."""
