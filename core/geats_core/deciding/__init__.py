"""One VM: from a goal and an observation to its plan, or to every reason why there is none."""
