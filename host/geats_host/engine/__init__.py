"""From plans to changes of the host: steps carried out in their order, and recorded."""
