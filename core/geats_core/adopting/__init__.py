"""Plans that take over a VM that something else made, as it is and while it runs."""
