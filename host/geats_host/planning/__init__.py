"""What people wish becomes a plan: the core's, from what this host is, and checked against it."""
