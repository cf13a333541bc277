"""The page of the agent: what it does, for a browser, and the metrics, over HTTP."""
