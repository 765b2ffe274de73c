"""What is asked of the kernel and of other programs, with no VM in sight."""
