"""Several hosts: where a VM goes, what moves, and what two hosts must not both have."""
