"""When a step of a job may begin: windows, consent and deadlines."""
