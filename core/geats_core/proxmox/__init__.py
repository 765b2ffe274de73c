"""Files of Proxmox VE: its containers and its virtual machines, as keys of VMs."""
