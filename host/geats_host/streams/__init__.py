"""The streams and the terminal of a caller, connected with a program that runs elsewhere."""
