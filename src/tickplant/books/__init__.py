"""Order books from snapshots and updates: sequence rules, checksums, levels, measures. No I/O."""
