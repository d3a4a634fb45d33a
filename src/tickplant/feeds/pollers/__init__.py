"""Providers that answer when they are asked: polled at an interval, as feeds like any other."""
