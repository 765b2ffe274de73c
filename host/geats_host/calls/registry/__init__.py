"""The registry of a host, for callers: whether it is well, and copies of it."""
