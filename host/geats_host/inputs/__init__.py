"""What people wrote: the configuration of a host, YAML, the files of the first geats."""
