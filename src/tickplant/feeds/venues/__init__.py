"""Venues: what each one's protocol says, behind one contract."""
