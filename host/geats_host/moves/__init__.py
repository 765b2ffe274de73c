"""VMs that move between hosts: fetched by this one, and sent by it; both as callers ask for it."""
