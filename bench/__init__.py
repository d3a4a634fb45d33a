"""Benchmarks: each verifies its output before it prints a figure."""
