"""Several hosts: on which host to place a VM, what to move, and what two hosts must not both
have."""
