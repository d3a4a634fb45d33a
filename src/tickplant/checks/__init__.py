"""Pure validation of batches: which rows are accepted, and why the others are not."""
