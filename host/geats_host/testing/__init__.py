"""Suites for whoever writes a plugin: a pool that passes them can be relied on."""
