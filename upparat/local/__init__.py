"""A local AWS for demonstrations, tests and the development of hooks.

MiniStack and boto3 come with the extra ``upparat[local]``; the agent imports nothing from here.
"""
