"""One VM as a domain of libvirt: its machine, its XML, what libvirt gives back, its seed."""
