"""What a host remembers of its VMs, and what it takes to look at them."""
