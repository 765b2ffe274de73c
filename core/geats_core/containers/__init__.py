"""What only containers have: isolation, devices, cgroup limits, kinds of NICs, programs.

A module for each subject: its values, the keys that people write for it, and its lines of LXC.
"""
