"""What calls liblxc: scripts that import nothing of geats, and run in whichever Python can."""
