"""Files on the disk: downloads of jobs, and the record of the update in hand."""
