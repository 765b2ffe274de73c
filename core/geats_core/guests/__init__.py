"""What a guest is told of: its users, its time zone, and its Salt minion."""
