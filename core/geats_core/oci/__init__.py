"""Images of the OCI: which manifest is meant, its layers, and the program in it."""
