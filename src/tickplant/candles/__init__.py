"""Candles: intervals and boundaries, the mergeable state, building and merging."""
