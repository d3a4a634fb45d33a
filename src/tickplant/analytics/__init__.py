"""Pure array functions over events and bars."""
