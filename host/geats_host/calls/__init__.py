"""What callers may ask of a host, each a plan or a report: for Salt, command line, programs."""
