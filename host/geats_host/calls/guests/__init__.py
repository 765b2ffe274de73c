"""What callers may do inside a VM that runs, and how they wait for one."""
