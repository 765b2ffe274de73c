"""The door for programs: what they may ask of this host, by varlink or in one shot."""
