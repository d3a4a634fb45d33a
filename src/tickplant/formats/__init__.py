"""Bodies and files to columns, and rows to what a client asked for. Does no I/O."""
