"""Signatures of firmware: the keys, the signed message, and the verification."""
