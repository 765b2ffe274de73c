"""What people declare for a whole host, parsed: pools, templates, policy, retention, placement."""
