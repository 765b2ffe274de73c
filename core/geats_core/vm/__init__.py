"""One VM as a value: what is wanted of it, what was seen of it, and what is written for it."""
