"""What Salt 3006 and Ansible were told of containers of LXC, as keys of VMs."""
