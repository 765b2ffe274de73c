"""What happened on a host, and what happens on it: the journal, and events as they come."""
