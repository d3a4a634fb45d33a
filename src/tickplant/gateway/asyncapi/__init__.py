"""The description of the sockets: what is said over each, both ways, as an AsyncAPI document."""
