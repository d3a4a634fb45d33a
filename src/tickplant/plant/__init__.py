"""The flow of a tick: accept, apply, publish; the hub; recovery; history."""
