"""A file that the install hook fetches itself: its URL on the loopback interface."""
