"""The log: what was accepted, in order, durable. `contract` says what any engine must do."""
