"""Instances of Incus and LXD, with their profiles, as keys of VMs."""
