"""What is kept on disk: files of jobs, and the record of the update in hand."""
