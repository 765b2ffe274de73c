"""What callers may ask beside plans, parsed: commands in guests, lists, beacons, resources."""
