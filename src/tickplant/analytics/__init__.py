"""Pure array functions over events."""
