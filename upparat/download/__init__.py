"""Downloads: HTTP in, a verified file or a stream to the install hook out."""
