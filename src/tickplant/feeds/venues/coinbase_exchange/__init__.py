"""Coinbase Exchange: the older feed of the same books, with gapless trade numbers."""
