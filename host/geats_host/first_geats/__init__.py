"""The interfaces of the first geats, on top of this one: ``vmctl``, and an agent."""
