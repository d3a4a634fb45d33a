"""Zerodha Kite Connect: the exchanges of India, over its binary ticker."""
