"""What can be done with a plan that is made: explain it, draw it, keep it in a file, undo it."""
