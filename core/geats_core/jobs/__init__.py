"""Plans for what no target asks for: snapshots, archives, clones, moves, renames, repairs."""
