"""Load: ticks sent on time into a running plant, counted when they are durable and read back."""
