"""Logging, metrics, freshness and health."""
