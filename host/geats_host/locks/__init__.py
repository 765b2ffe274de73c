"""What keeps two operations apart: locks on files, on VMs, and what plans under way reserve."""
