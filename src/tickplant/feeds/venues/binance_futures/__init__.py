"""Binance USD-M futures: other addresses and limits, the same messages with a few more fields."""
