"""VMs of hosts that are lost, started elsewhere."""
