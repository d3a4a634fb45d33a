"""Binance: spot, and what its USD-M futures have in common with it."""
