"""One VM as a domain of libvirt: its machine, its XML, what libvirt gives back, its seed.

What other programs wrote for libvirt becomes keys of a VM here too.
"""
