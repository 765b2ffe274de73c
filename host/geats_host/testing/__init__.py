"""Suites for authors of plugins: a pool that passes them can be relied on."""
