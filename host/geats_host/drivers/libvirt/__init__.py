"""The drivers ``kvm`` and ``qemu``: virtual machines, by libvirt."""
