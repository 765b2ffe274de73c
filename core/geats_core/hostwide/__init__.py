"""All VMs of one host at once: what they share, exceed, wait for, and one plan for them."""
