"""VMs and volumes as files: written, read, and cloned aside while they are written."""
