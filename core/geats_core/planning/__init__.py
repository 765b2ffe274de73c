"""One VM: from a goal and an observation to ordered steps, by a model of what each action does."""
