"""Drivers, pools and registries by name: found among the entry points, opened when needed."""
