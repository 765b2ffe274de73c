"""Guests of virtual machines, by their agents: programs, files, what they tell, and rest."""
