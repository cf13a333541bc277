"""What packages hold beside the agent: the manual pages and the completions of the shells.

They are written from the sources of the docs: ``python -m tests.reference DIRECTORY``.
"""
