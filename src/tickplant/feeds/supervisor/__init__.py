"""The supervisor of venue feeds: sockets, time, limits, pauses, signs of life, repair."""
