"""What the first geats wrote: a host of 2013 becomes a configuration of now."""
