"""Frames of the same layout to columns by one compiled walk over their bytes (an extra)."""
