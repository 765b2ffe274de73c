"""From wishes to goals, and from plans to changes of the host: steps performed and recorded."""
