"""Signatures of firmware: keys, what is signed, and whether it is right."""
