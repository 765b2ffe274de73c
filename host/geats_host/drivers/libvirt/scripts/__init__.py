"""libvirt itself: each script runs as a process, in whichever Python has a binding to it."""
