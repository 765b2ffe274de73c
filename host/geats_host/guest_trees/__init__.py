"""Trees of files that guests write, and that may be hostile: walked, copied, removed."""
