"""Benchmarks: each verifies its output before it prints a figure."""

from tickplant.cli.process import keep_freed_memory

keep_freed_memory()  # as `tickplant serve` does; Arrow is imported after this
