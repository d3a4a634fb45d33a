"""Sources of events, behind one contract."""
