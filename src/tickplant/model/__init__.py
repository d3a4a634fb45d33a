"""Events and their Arrow schemas, instruments, times, errors. Imports nothing of ours."""
