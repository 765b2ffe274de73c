"""Of what guests are told."""
