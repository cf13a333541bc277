"""Publishing a release: the upload of its file, and the job that brings it to the devices.

boto3 comes with the extra ``upparat[aws]``. The agent imports nothing from here.
"""
